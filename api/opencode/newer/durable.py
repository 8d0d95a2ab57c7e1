"""A session's durable events: what has happened in it, numbered, and the same whenever they are read.

Nothing of them is kept: they follow from the messages. A turn is told once all turns before it are over, because only
then nothing can come before it any more; so a number, once told, is never told for something else, and nothing with a
lower number appears later. The events of turn `n` have the numbers from `n × SPAN`; there are gaps between them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from api.opencode.newer.shapes import error_shape, model_shape, prompt_shape
from domain.clock import Millis
from domain.ids import session_tag
from domain.messages import Message, Part, Role
from storage.base import Store

Json = dict[str, Any]

SPAN = 1_000_000
"""Numbers for one turn; it has fewer events than that."""

PAGE = 50
"""Messages that are read at once."""

_STARTED = "session.next.step.started"


@dataclass(frozen=True)
class Reading:
    """A part of a session's durable events."""

    events: Sequence[Json]
    #: Whether there were more when it was read.
    has_more: bool


def read(store: Store, tenant: str, session_id: str, *, after: int, limit: int) -> Reading:
    """Read up to `limit` events with a number greater than `after`.

    Raises:
        SessionNotFound: there is no such session.
    """
    incarnation = store.session(tenant, session_id).incarnation
    tag = session_tag(session_id, incarnation)
    found: list[Json] = []
    for turn in _turns(_messages_from(store, tenant, session_id, max(after, 0) // SPAN)):
        prompt = turn[0]
        started = prompt.job_id is None or len(turn) > 1
        if not started:
            jobs = store.jobs_by_id([(tenant, prompt.job_id or "")])
            started = any(job.attempt for job in jobs.values())
        for index, (kind, data) in enumerate(_events_of(turn, has_started=started)):
            number = prompt.seq * SPAN + index
            if number > after:
                found.append(_event(session_id, tag, number, kind, data))
        if len(found) > limit or (prompt.job_id is not None and len(turn) == 1):
            break
    return Reading(found[:limit], len(found) > limit)


def _messages_from(store: Store, tenant: str, session_id: str, seq: int) -> list[Message]:
    """Read a session's messages from a turn on, backwards, page by page."""
    found: list[Message] = []
    before: tuple[int, str] | None = None
    while True:
        page = store.messages(tenant, session_id, limit=PAGE, before=before)
        found = [*page, *found]
        if len(page) < PAGE or page[0].seq < seq:
            return [message for message in found if message.seq >= seq]
        before = (page[0].seq, page[0].role.value)


def _turns(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Put each prompt together with its answer."""
    turn: list[Message] = []
    for message in messages:
        if message.role is Role.USER:
            if turn:
                yield turn
            turn = [message]
        elif turn:
            turn.append(message)
    if turn:
        yield turn


def _event(session_id: str, tag: str, number: int, kind: str, data: Json) -> Json:
    return {
        "id": f"evt_{number:016x}{tag}",
        "type": kind,
        "durable": {"aggregateID": session_id, "seq": number, "version": 1},
        "data": {**data, "sessionID": session_id},
    }


def _events_of(turn: Sequence[Message], *, has_started: bool) -> Iterator[tuple[str, Json]]:
    prompt = turn[0]
    said = {
        "timestamp": prompt.created,
        "messageID": prompt.id,
        "prompt": prompt_shape(prompt),
        "delivery": "queue",
    }
    yield "session.next.prompt.admitted", said
    if has_started:
        yield "session.next.prompted", said
    for answer in turn[1:]:
        yield from _answer(answer)


def _answer(answer: Message) -> Iterator[tuple[str, Json]]:
    detail = answer.detail
    about = {"assistantMessageID": answer.id}
    last: Millis = detail.get("completed", answer.created)
    started = {"agent": detail["agent"], "model": model_shape(detail["model"], detail.get("variant"))}
    in_step = False
    for part in answer.parts:
        if part["type"] == "step-start" or (not in_step and part["type"] != "step-finish"):
            in_step = True
            yield _STARTED, {"timestamp": answer.created, **about, **started}
        if part["type"] == "step-finish":
            in_step = False
            ended = {"finish": part["reason"], "cost": part["cost"], "tokens": _plain_tokens(part["tokens"])}
            yield "session.next.step.ended", {"timestamp": last, **about, **ended}
        else:
            for kind, data in _content(part, answer.created, last):
                yield kind, {**about, **data}
    if "error" in detail:
        if not in_step:
            yield _STARTED, {"timestamp": answer.created, **about, **started}
        yield "session.next.step.failed", {"timestamp": last, **about, "error": error_shape(detail["error"])}


def _plain_tokens(tokens: Json) -> Json:
    return {name: tokens[name] for name in ("input", "output", "reasoning", "cache")}


def _content(part: Part, first: Millis, last: Millis) -> Iterator[tuple[str, Json]]:
    kind = part["type"]
    if kind in {"text", "reasoning"}:
        time = part.get("time", {})
        name = {f"{kind}ID": part["id"]}
        yield f"session.next.{kind}.started", {"timestamp": time.get("start", first), **name}
        yield f"session.next.{kind}.ended", {"timestamp": time.get("end", last), **name, "text": part["text"]}
    elif kind == "tool":
        yield from _tool(part, last)


def _tool(part: Part, last: Millis) -> Iterator[tuple[str, Json]]:
    state, name = part["state"], {"callID": part["callID"]}
    start, end = state["time"]["start"], state["time"].get("end", last)
    provider = {"provider": {"executed": False}}
    text = json.dumps(state["input"], separators=(",", ":"))
    yield "session.next.tool.input.started", {"timestamp": start, **name, "name": part["tool"]}
    yield "session.next.tool.input.ended", {"timestamp": start, **name, "text": text}
    called = {"tool": part["tool"], "input": state["input"], **provider}
    yield "session.next.tool.called", {"timestamp": start, **name, **called}
    if state["status"] == "completed":
        content = [{"type": "text", "text": state["output"]}]
        done = {"structured": {}, "content": content, **provider}
        yield "session.next.tool.success", {"timestamp": end, **name, **done}
    elif state["status"] == "error":
        error = {"type": "unknown", "message": state["error"]}
        yield "session.next.tool.failed", {"timestamp": end, **name, "error": error, **provider}
