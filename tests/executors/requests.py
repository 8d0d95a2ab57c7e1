"""Requests as a worker makes them, without a store."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from domain.clock import Millis
from domain.jobs import Job, State
from domain.messages import Message, Part, Role, Turn
from domain.sessions import Session
from executors.base import Event, Executor, Request

NOW: Millis = 1_800_000_000_000


async def no_history() -> Sequence[Turn]:
    return ()


def text_part(text: str) -> Part:
    return {"id": "prt_1", "type": "text", "text": text}


def request(
    *parts: Part,
    model: str = "echo/echo",
    attempt: int = 1,
    metadata: Mapping[str, Any] | None = None,
    history: Callable[[], Awaitable[Sequence[Turn]]] = no_history,
) -> Request:
    """A request for an answer to a prompt of these parts."""
    session = Session("default", "ses_1", 1, "title", "/", NOW, NOW)
    job = Job("default", "job_1", "ses_1", 1, 1, "msg_1", model, "build", NOW, state=State.RUNNING, attempt=attempt)
    detail = {"metadata": metadata} if metadata else {}
    prompt = Message("default", "ses_1", 1, 1, Role.USER, "msg_1", NOW, parts, detail, job_id="job_1")
    return Request(job, prompt, session, history)


async def events_of(executor: Executor, asked: Request) -> list[Event]:
    """All that an executor yields."""
    return [event async for event in executor.run(asked)]
