"""The routes of `/api/session…` that take a prompt, and wait."""

from __future__ import annotations

import asyncio
import contextlib

from fastapi import APIRouter, Request, Response

from api.calls import Call, LeanRoute, Location, idempotency_key, json_body, no_body
from api.opencode.newer import shapes
from api.opencode.newer.durable import SPAN
from api.opencode.newer.requests import NewerPrompt
from api.opencode.newer.sessions import session_of
from api.opencode.queries import check_names
from api.replies import reply
from api.waiters import ClientGoneError, unless_gone
from domain.errors import JobNotFound
from domain.ids import is_ephemeral
from domain.jobs import Job, State
from domain.prompts import Admission
from storage.base import JobQuery

router = APIRouter(route_class=LeanRoute, include_in_schema=False)


@router.post("/api/session/{sessionID}/prompt")
async def prompt(request: Request) -> Response:
    """Keep a prompt to be answered in its turn. Creates the session if it is missing."""
    call = Call(request)
    check_names(request)
    session_id = session_of(request)
    wanted = (await json_body(NewerPrompt)(request)).older()
    ready = wanted.prompt(
        session_id,
        call.means.terms,
        idempotency_key=idempotency_key(request),
        directory=call.directory(Location()),
    )
    admission = await asyncio.wrap_future(call.means.store.admit_soon(call.tenant, session_id, ready))
    call.means.admitted(admission)
    headers = {"Promptq-Session": "created" if admission.session_created else "resumed"}
    if admission.message.job_id is not None:
        headers["Location"] = f"/job/{admission.message.job_id}"
    return reply({"data": _admitted(admission)}, headers=headers)


@router.post("/api/session/{sessionID}/wait")
async def wait(request: Request) -> Response:
    """Answer once the session has no open job."""
    call = Call(request)
    check_names(request)
    session_id = session_of(request)
    await no_body(request)
    await call.means.aside(call.means.store.session, call.tenant, session_id)
    with contextlib.suppress(ClientGoneError):
        await unless_gone(request, _idle(call, session_id))
    return Response(status_code=204)


async def _idle(call: Call, session_id: str) -> None:
    while True:
        job = await call.means.aside(_last_open, call, session_id)
        if job is None:
            return
        with contextlib.suppress(JobNotFound):
            await call.means.waiters.wait_for(call.tenant, job.id, None)


def _last_open(call: Call, session_id: str) -> Job | None:
    query = JobQuery(
        limit=1,
        states=frozenset({State.QUEUED, State.RUNNING}),
        session_id=session_id,
        ephemeral=is_ephemeral(session_id),
    )
    return next(iter(call.means.store.jobs(call.tenant, query)), None)


def _admitted(admission: Admission) -> shapes.Json:
    message = admission.message
    admitted = {
        "admittedSeq": message.seq * SPAN,
        "id": message.id,
        "sessionID": message.session_id,
        "prompt": shapes.prompt_shape(message),
        "delivery": "queue",
        "timeCreated": message.created,
    }
    has_started = admission.job is None or admission.job.attempt > 0
    return {**admitted, "promotedSeq": message.seq * SPAN + 1} if has_started else admitted
