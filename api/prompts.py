"""The two routes that take prompts. What is kept of one is decided by the store: prompts that come at once, at once."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from api.calls import LARGE, Call, LeanRoute, Location, idempotency_key, location_of, raw_body
from api.document import ADMITTED, body, prompt_parameters
from api.opencode.courtesy import courtesy_of
from api.replies import reply
from api.waiters import ClientGoneError, unless_gone
from domain.answers import answer_of
from domain.ids import check_session_id
from domain.jobs import Job
from domain.messages import Message
from domain.prompts import Admission, Prompt
from domain.requests.parsing import parse
from domain.requests.prompts import PromptRequest
from domain.shapes import MessageShape, message_shape

router = APIRouter(tags=["prompt"], route_class=LeanRoute)

_EXTRA = {**prompt_parameters(), **body(PromptRequest)}


@router.post("/session/{sessionID}/prompt_async", status_code=204, responses={204: ADMITTED}, openapi_extra=_EXTRA)
async def prompt_async(request: Request) -> Response:
    """Keep a prompt to be answered later. Creates the session if it is missing."""
    return Response(status_code=204, headers=_headers(await _admit(Call(request))))


@router.post(
    "/session/{sessionID}/message", response_model=MessageShape, responses={200: ADMITTED}, openapi_extra=_EXTRA
)
async def prompt(request: Request) -> Response:
    """Keep a prompt, and wait for its answer. Who hangs up cancels nothing."""
    call = Call(request)
    courtesy = courtesy_of(request)
    await courtesy.before(call)
    admission = await _admit(call)
    if admission.message.job_id is None:
        return reply(message_shape(admission.message), headers=_headers(admission))
    try:
        answer = await unless_gone(request, _answer(call, admission))
        await courtesy.after(call)
    except ClientGoneError:
        return Response(status_code=204)  # nobody reads it
    return reply(message_shape(answer), headers=_headers(admission))


async def _admit(call: Call) -> Admission:
    request = call.request
    where = location_of(request)
    raw = await raw_body(request)
    session_id = request.path_params["sessionID"]
    check_session_id(session_id)
    key = idempotency_key(request)
    if len(raw) > LARGE:
        # Nobody shares a transaction with it: what many such weigh together is more than a statement should.
        admission = await call.means.aside(_admit_large, call, raw, session_id, key, where)
    else:
        wanted = _read(call, raw, session_id, key, where)
        admission = await asyncio.wrap_future(call.means.store.admit_soon(call.tenant, session_id, wanted))
    if admission.ended:
        await call.means.aside(call.means.admitted, admission)
    else:
        call.means.admitted(admission)
    return admission


def _admit_large(call: Call, raw: bytes, session_id: str, key: str | None, where: Location) -> Admission:
    return call.means.store.admit(call.tenant, session_id, _read(call, raw, session_id, key, where))


def _read(call: Call, raw: bytes, session_id: str, key: str | None, where: Location) -> Prompt:
    return parse(PromptRequest, raw).prompt(
        session_id,
        call.means.terms,
        idempotency_key=key,
        directory=call.directory(where),
        workspace=where.workspace,
    )


async def _answer(call: Call, admission: Admission) -> Message:
    """Wait for the assistant message of an admitted prompt."""
    job = admission.job
    if job is not None and job.state.is_open:
        job = await call.means.waiters.wait_for(call.tenant, job.id, None, seen_open=True)
        # OpenCode's clients print what the events say, and leave when they are answered.
        await call.means.hub.told(job)
    return await call.means.aside(_ended_answer, call, admission, job)


def _ended_answer(call: Call, admission: Admission, job: Job | None) -> Message:
    prompt = admission.message
    answer = call.means.store.answer(call.tenant, prompt.session_id, prompt.incarnation, prompt.seq)
    if answer is not None:
        return answer
    # The session was deleted meanwhile, and its messages with it.
    job = job or call.means.store.job(call.tenant, prompt.job_id or "")
    return answer_of(admission.session, job, None, job.ended or job.created)


def _headers(admission: Admission) -> dict[str, str]:
    headers = {"Promptq-Session": "created" if admission.session_created else "resumed"}
    if admission.message.job_id is not None:
        headers["Location"] = f"/job/{admission.message.job_id}"
    return headers
