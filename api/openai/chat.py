"""The route of chat completions: a one-off that somebody waits for."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from api.calls import LARGE, Call, LeanRoute, idempotency_key, raw_body
from api.openai.errors import PromptFailed
from api.openai.listening import Listener
from api.replies import reply
from api.waiters import ClientGoneError, unless_gone
from domain.batches.results import completion, completion_id, completion_usage, finish_reason, seconds, text_of
from domain.errors import PromptqError
from domain.ids import hidden_id_from, new_hidden_id
from domain.jobs import Job, State
from domain.messages import Message, Usage
from domain.prompts import Admission, Prompt
from domain.requests.chat import ChatRequest, parse_chat

router = APIRouter(route_class=LeanRoute, include_in_schema=False)

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True)
class _Asked:
    """What is asked, and under which names."""

    request: ChatRequest
    session_id: str
    prompt: Prompt


@router.post("/v1/chat/completions")
async def create_completion(request: Request) -> Response:
    """Answer a conversation. It is kept like any prompt; who hangs up cancels nothing."""
    call = Call(request)
    raw = await raw_body(request)
    key = idempotency_key(request)
    if len(raw) > LARGE:
        asked = await call.means.aside(_read, call, raw, key)
    else:
        asked = _read(call, raw, key)
    if asked.request.stream:
        return await _streamed(call, asked)
    admission = await _admit(call, asked)
    try:
        job, answer = await unless_gone(request, _outcome(call, admission))
    except ClientGoneError:
        return Response(status_code=204)  # nobody reads it
    return reply(completion(job, answer), headers=_headers(job))


def _read(call: Call, raw: bytes, key: str | None) -> _Asked:
    request = parse_chat(raw)
    request.check(call.means.terms.catalog)
    is_ephemeral = bool(request.ephemeral)
    if key is None:
        session_id = new_hidden_id(ephemeral=is_ephemeral)
    else:
        session_id = hidden_id_from(f"chat/{key}", ephemeral=is_ephemeral)
    what = _canonical.encode({**msgspec.to_builtins(request), "model": None, "stream": None, "stream_options": None})
    prompt = request.prompt(content_hash=hashlib.sha256(what).hexdigest(), idempotency_key=key)
    return _Asked(request, session_id, prompt)


async def _admit(call: Call, asked: _Asked) -> Admission:
    admission = await asyncio.wrap_future(call.means.store.admit_soon(call.tenant, asked.session_id, asked.prompt))
    call.means.admitted(admission)
    return admission


async def _outcome(call: Call, admission: Admission) -> tuple[Job, Message]:
    """Wait for the answer.

    Raises:
        PromptFailed: there is none.
    """
    job = admission.job
    if job is None:
        job = await call.means.aside(call.means.store.job, call.tenant, admission.message.job_id or "")
    if job.state.is_open:
        job = await call.means.waiters.wait_for(call.tenant, job.id, None, seen_open=True)
    message = admission.message
    answer = await call.means.aside(
        call.means.store.answer, call.tenant, message.session_id, message.incarnation, message.seq
    )
    if job.state is not State.SUCCEEDED or answer is None:
        raise PromptFailed(job)
    return job, answer


async def _streamed(call: Call, asked: _Asked) -> Response:
    listener = Listener(call.tenant, asked.session_id)
    # Before the prompt is there, so that the worker that takes it knows that somebody listens.
    await call.means.joining.announce(listener.client)
    admission = await _admit(call, asked)
    leave = call.means.hub.join(listener.client, admission.session)
    usage = asked.request.stream_options is not None and bool(asked.request.stream_options.include_usage)
    return StreamingResponse(
        _chunks(call, admission, listener, leave, with_usage=usage),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"},
    )


async def _chunks(
    call: Call, admission: Admission, listener: Listener, leave: Any, *, with_usage: bool
) -> AsyncIterator[bytes]:
    """Send what is said while it is said, and at the end what is missing: the answer that is kept is the truth."""
    outcome = asyncio.ensure_future(_outcome(call, admission))
    said = ""
    frame = _Frame(admission)
    try:
        yield frame.delta({"role": "assistant", "content": ""})
        while not outcome.done():
            more = asyncio.ensure_future(listener.more())
            await asyncio.wait((outcome, more), return_when=asyncio.FIRST_COMPLETED)
            if more.done():
                said += more.result()
                yield frame.delta({"content": more.result()})
            else:
                more.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await more
        job, answer = outcome.result()
        text = text_of(answer)
        if not text.startswith(said):  # an attempt was lost, and the next one says something else
            raise PromptFailed(job, "the answer was begun again after a part of it had been sent")
        if text[len(said) :]:
            yield frame.delta({"content": text[len(said) :]})
        yield frame.delta({}, finish=finish_reason(answer))
        if with_usage:
            yield frame.usage(job.usage or Usage())
        yield b"data: [DONE]\n\n"
    except PromptqError as error:
        yield b"data: " + _encoder.encode(PromptFailed.described(error)) + b"\n\n"
    finally:
        leave()
        outcome.cancel()


class _Frame:
    """What all chunks of one answer have in common."""

    def __init__(self, admission: Admission) -> None:
        job = admission.job
        self._common = {
            "id": completion_id(admission.message.job_id or ""),
            "object": "chat.completion.chunk",
            "created": seconds(admission.message.created),
            "model": job.model if job is not None else str(admission.message.detail["model"]),
        }

    def delta(self, delta: dict[str, Any], *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return self._line({**self._common, "choices": [choice]})

    def usage(self, usage: Usage) -> bytes:
        return self._line({**self._common, "choices": [], "usage": completion_usage(usage)})

    @staticmethod
    def _line(value: dict[str, Any]) -> bytes:
        return b"data: " + _encoder.encode(value) + b"\n\n"


def _headers(job: Job) -> dict[str, str]:
    return {"Location": f"/job/{job.id}", "X-Request-ID": job.id}
