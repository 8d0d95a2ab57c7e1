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
from domain.jobs import Claimed, Job
from domain.messages import Message, Part
from domain.prompts import Admission
from domain.record import Record
from domain.sessions import Session
from domain.shapes import StatusShape, message_shape, session_shape

Event = dict[str, Any]

BUSY: StatusShape = {"type": "busy"}
IDLE: StatusShape = {"type": "idle"}


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
    #: When the session had been changed last, as it is told here.
    as_of: Millis = 0
    #: The job that it is about, its sequence number, and how far it had got; None: it is about the session.
    job_id: str | None = None
    seq: int = 0
    attempt: int = 0
    stage: Stage = Stage.ADMITTED
    #: Whether it is kept for those who come back.
    is_kept: bool = False

    #: So many of the first events are what was told when the job was admitted, for those who have not been told that.
    prologue: int = 0
    #: Whether the session is gone, and nothing more will be told of it.
    is_last: bool = False

    @classmethod
    def of(cls, session: Session, events: Iterable[Event]) -> Bundle:
        """Tell something of a session."""
        names = (session.tenant, session.id, session.incarnation)
        return cls(*names, tuple(events), session.directory, session.workspace_id, session.updated)

    def about(self, job: Job, stage: Stage) -> Bundle:
        """Say which job it is about, as it was then."""
        return self.evolve(job_id=job.id, seq=job.seq, attempt=job.attempt, stage=stage)


class Order:
    """Keeps what is told of a job in order, where it may arrive from several processes: what comes late is left out.

    So nobody is told that a prompt waits after being told of its answer, nor twice of its end.
    """

    def __init__(self, most: int = 20_000) -> None:
        """Begin; of at most so many jobs, the latest, it is remembered how far they had got."""
        self._most = most
        self._reached: dict[tuple[str, str], tuple[int, Stage]] = {}

    def takes(self, tenant: str, job_id: str | None, attempt: int, stage: Stage) -> bool:
        """Note what is told, and return whether it comes in order."""
        if job_id is None:
            return True
        name = (tenant, job_id)
        reached = self._reached.pop(name, (0, Stage.ADMITTED))
        comes = reached[1] is not Stage.ENDED and (attempt, stage) >= reached
        self._reached[name] = (attempt, stage) if comes else reached
        if len(self._reached) > self._most:
            del self._reached[next(iter(self._reached))]
        return comes

    def knows(self, tenant: str, job_id: str | None) -> bool:
        """Whether anything of a job has been told."""
        return job_id is not None and (tenant, job_id) in self._reached

    def has_ended(self, tenant: str, job_id: str) -> bool:
        """Whether the end of a job has been told."""
        return self._reached.get((tenant, job_id), (0, Stage.ADMITTED))[1] is Stage.ENDED


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


def status_of(session: Session) -> Event:
    """Say whether a session has open jobs."""
    return session_status(session.id, BUSY if session.open_total else IDLE)


def idle(session_id: str) -> list[Event]:
    """Say that a session has no open job any more."""
    return [session_status(session_id, IDLE), event("session.idle", {"sessionID": session_id})]


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
    events += [session_updated(session), *whole_message(message, message.created), status_of(session)]
    bundle = Bundle.of(session, events)
    return bundle if admission.job is None else bundle.about(admission.job, Stage.ADMITTED)


def of_claim(claimed: Claimed) -> Bundle:
    """Tell of an attempt that has begun: its message, still empty.

    The prompt comes first, for those who have not been told of it: what its admission told may be under way still.
    """
    session, job, prompt = claimed.session, claimed.job, claimed.prompt
    prologue = [session_updated(session), *whole_message(prompt, prompt.created)]
    begun = [session_status(session.id, BUSY), message_updated(unfinished_answer(session, job))]
    return Bundle.of(session, [*prologue, *begun]).about(job, Stage.BEGUN).evolve(prologue=len(prologue))


def of_change(session: Session) -> Bundle:
    """Tell how a session is after somebody has changed it."""
    return Bundle.of(session, [session_updated(session), status_of(session)])


def of_end(session: Session, job: Job, answer: Message | None, *, is_idle: bool) -> Bundle:
    """Tell of a job that has ended: its answer, whole, and whether the session goes on.

    Args:
        session: as it is now, after the end.
        job: the job, in its terminal state.
        answer: its assistant message; None if that is gone.
        is_idle: whether this was the last open job.
    """
    events: list[Event] = []
    if answer is not None:
        now = answer.detail.get("completed") or answer.created
        events += (part_updated(job.session_id, answer.id, part, now) for part in answer.parts)
        if "error" in answer.detail:
            events.append(event("session.error", {"sessionID": job.session_id, "error": answer.detail["error"]}))
        events.append(message_updated(answer))
    events += idle(session.id) if is_idle else [session_status(session.id, BUSY)]
    events.append(session_updated(session))
    return Bundle.of(session, events).about(job, Stage.ENDED)


def of_deletion(session: Session) -> Bundle:
    """Tell that a session is gone."""
    return Bundle.of(session, [session_deleted(session)]).evolve(is_last=True)


def of_prompt(session: Session, message: Message) -> Bundle:
    """Tell of a user's message that was missed when it came."""
    events = [session_updated(session), *whole_message(message, message.created), status_of(session)]
    return Bundle.of(session, events)


def of_state(session: Session, messages: Iterable[Message]) -> list[Event]:
    """Tell how a session is, with all its messages, to who has missed what came before."""
    told = [session_updated(session)]
    for message in messages:
        told += whole_message(message, message.detail.get("completed") or message.created)
    told += [session_status(session.id, BUSY)] if session.open_total else idle(session.id)
    return told


def of_repeat(session: Session, before: Job, status: StatusShape) -> Bundle:
    """Tell of an attempt that is over while its job is not: its message is withdrawn.

    Args:
        session: the job's session.
        before: the job while the attempt ran.
        status: what the session does now.
    """
    events = [message_removed(before.session_id, before.assistant_id)] if before.assistant_id else []
    return Bundle.of(session, (*events, session_status(session.id, status))).about(before, Stage.LEFT)
