"""Events: what is told of sessions while things happen, in OpenCode's names and shapes.

Events are hints. What they say was true when they were made; the store is what is true. Each is one JSON object
`{"id", "type", "properties"}`. What one commit did to one session is told as one bundle, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from domain.answers import unfinished_answer
from domain.clock import Millis
from domain.ids import new_id
from domain.jobs import Job
from domain.messages import Message, Part
from domain.prompts import Admission
from domain.record import Record
from domain.sessions import Session
from domain.shapes import StatusShape, message_shape, session_shape

Event = dict[str, Any]

BUSY: StatusShape = {"type": "busy"}


class Stage(IntEnum):
    """How far a job has got. Of two bundles about one attempt, the later has the same stage or a greater one."""

    #: It is kept.
    ADMITTED = 0
    #: An attempt has begun.
    BEGUN = 1
    #: The attempt's answer has grown.
    GROWN = 2
    #: The attempt is over, and the job is not.
    LEFT = 3
    #: The job has ended.
    ENDED = 4


@dataclass(frozen=True)
class Bundle(Record):
    """What is told of one session together, in order."""

    tenant: str
    session_id: str
    incarnation: int
    events: Sequence[Event]
    directory: str
    workspace_id: str | None = None
    #: The job that it is about, its sequence number, and how far it had got; None: it is about the session.
    job_id: str | None = None
    seq: int = 0
    attempt: int = 0
    stage: Stage = Stage.ADMITTED
    #: Whether it is kept for those who come back.
    is_kept: bool = False

    @classmethod
    def of(cls, session: Session, events: Iterable[Event]) -> Bundle:
        """Tell something of a session."""
        return cls(
            session.tenant, session.id, session.incarnation, tuple(events), session.directory, session.workspace_id
        )

    def about(self, job: Job, stage: Stage) -> Bundle:
        """Say which job it is about, as it was then."""
        return self.evolve(job_id=job.id, seq=job.seq, attempt=job.attempt, stage=stage)


def event(kind: str, properties: dict[str, Any]) -> Event:
    """Make an event."""
    return {"id": new_id("evt"), "type": kind, "properties": properties}


def connected() -> Event:
    """Say that a stream has begun."""
    return event("server.connected", {})


def heartbeat() -> Event:
    """Say that a stream is alive."""
    return event("server.heartbeat", {})


def gap(session_id: str) -> Event:
    """Say, in a word of promptq's own, that a stream has lost events. What follows is the session as it is."""
    return event("gap", {"sessionID": session_id})


def session_created(session: Session) -> Event:
    """Say that a session was made."""
    return _session("session.created", session)


def session_updated(session: Session) -> Event:
    """Say how a session is now."""
    return _session("session.updated", session)


def session_deleted(session: Session) -> Event:
    """Say that a session is gone."""
    return _session("session.deleted", session)


def _session(kind: str, session: Session) -> Event:
    return event(kind, {"sessionID": session.id, "info": session_shape(session)})


def session_status(session_id: str, status: StatusShape) -> Event:
    """Say that a session works, or when it will try again."""
    return event("session.status", {"sessionID": session_id, "status": status})


def idle(session_id: str) -> list[Event]:
    """Say that a session has no open job any more."""
    status = event("session.status", {"sessionID": session_id, "status": {"type": "idle"}})
    return [status, event("session.idle", {"sessionID": session_id})]


def message_updated(message: Message) -> Event:
    """Say how a message is now, without its parts."""
    return event("message.updated", {"sessionID": message.session_id, "info": message_shape(message)["info"]})


def message_removed(session_id: str, message_id: str) -> Event:
    """Withdraw a message."""
    return event("message.removed", {"sessionID": session_id, "messageID": message_id})


def part_updated(session_id: str, message_id: str, part: Part, now: Millis) -> Event:
    """Say how a part is now."""
    whole = {**part, "sessionID": session_id, "messageID": message_id}
    return event("message.part.updated", {"sessionID": session_id, "part": whole, "time": now})


def part_delta(session_id: str, message_id: str, part_id: str, text: str) -> Event:
    """Say what a part's text has grown by."""
    properties = {"sessionID": session_id, "messageID": message_id, "partID": part_id, "field": "text", "delta": text}
    return event("message.part.delta", properties)


def whole_message(message: Message, now: Millis) -> list[Event]:
    """Say how a message is, with all its parts."""
    return [
        message_updated(message),
        *(part_updated(message.session_id, message.id, part, now) for part in message.parts),
    ]


def of_admission(admission: Admission) -> Bundle:
    """Tell of a prompt that was admitted: the session, the user's message and, if it is to be answered, work."""
    session, message = admission.session, admission.message
    events = [session_created(session)] if admission.session_created else []
    events += [session_updated(session), *whole_message(message, message.created)]
    bundle = Bundle.of(session, events)
    if admission.job is None:
        return bundle
    return bundle.evolve(events=(*events, session_status(session.id, BUSY))).about(admission.job, Stage.ADMITTED)


def of_claim(session: Session, job: Job) -> Bundle:
    """Tell of an attempt that has begun: its message, still empty."""
    answer = unfinished_answer(session, job)
    return Bundle.of(session, (session_status(job.session_id, BUSY), message_updated(answer))).about(job, Stage.BEGUN)


def of_end(session: Session, job: Job, answer: Message | None) -> Bundle:
    """Tell of a job that has ended: its answer, whole, and whether the session goes on.

    Args:
        session: as it is after the end.
        job: the job, in its terminal state.
        answer: its assistant message; None if that is gone.
    """
    events: list[Event] = []
    if answer is not None:
        now = answer.detail.get("completed") or answer.created
        events += (part_updated(job.session_id, answer.id, part, now) for part in answer.parts)
        if "error" in answer.detail:
            events.append(event("session.error", {"sessionID": job.session_id, "error": answer.detail["error"]}))
        events.append(message_updated(answer))
    events += [session_status(session.id, BUSY)] if session.open_total else idle(session.id)
    events.append(session_updated(session))
    return Bundle.of(session, events).about(job, Stage.ENDED)


def of_repeat(session: Session, before: Job, status: StatusShape) -> Bundle:
    """Tell of an attempt that is over while its job is not: its message is withdrawn.

    Args:
        session: the job's session.
        before: the job while the attempt ran.
        status: what the session does now.
    """
    events = [message_removed(before.session_id, before.assistant_id)] if before.assistant_id else []
    return Bundle.of(session, (*events, session_status(session.id, status))).about(before, Stage.LEFT)
