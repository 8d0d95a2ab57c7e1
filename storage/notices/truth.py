"""What the store says has happened, as events: for those who were not told, or not of all of it."""

from __future__ import annotations

import msgspec

from domain import events
from domain.errors import NotFound, SessionNotFound
from domain.events import Bundle, Event
from domain.jobs import Job
from domain.messages import Message
from domain.sessions import Session
from storage.base import Store
from storage.notices.wire import Heard

MOST_BEHIND = 10
"""Prompts behind one that are asked about whether they ended together with it."""

_encoder = msgspec.json.Encoder()


def end_of(store: Store, job: Job, answer: Message | None = None, *, more: bool = False) -> Bundle | None:
    """Tell of a job that has ended; None if its session is gone, which is told by itself.

    Args:
        store: the store.
        job: the job.
        answer: its assistant message, if it is at hand.
        more: whether another end in the session is about to be told.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    try:
        session = store.session(job.tenant, job.session_id)
    except SessionNotFound:
        return None
    if session.incarnation != job.incarnation:
        return None
    answer = answer or store.answer(job.tenant, job.session_id, job.incarnation, job.seq)
    return events.of_end(session, job, answer, is_idle=not more and _leaves_idle(store, session, job))


def _leaves_idle(store: Store, session: Session, job: Job) -> bool:
    """Tell whether it is for this end to say that the session is idle.

    Who tells of an end that is a while ago may find the session idle, while the end that made it so is told of after
    this one. So this one says so only if nothing has changed the session since: not another end in the same millisecond
    either. (Who changes an idle session says that it is idle.)
    """
    if session.open_total or session.updated > (job.ended or 0):
        return False
    for seq in range(job.seq + 1, min(session.seq, job.seq + MOST_BEHIND) + 1):
        later = store.answer(job.tenant, job.session_id, job.incarnation, seq)
        if later is not None and later.detail.get("completed") == job.ended:
            return False
    return True


def state_of(store: Store, session: Session) -> list[Event]:
    """Tell how a session is now, with all its messages.

    Raises:
        StoreUnavailable: the store does not answer.
        SessionNotFound: it is gone.
    """
    # Messages after the session: one that is missing is told of later, and one too many is told of twice.
    now = store.session(session.tenant, session.id)
    return events.of_state(now, store.messages(session.tenant, session.id))


def completed(store: Store, heard: Heard) -> Heard:
    """Put in what was left out of a bundle because it is large; what is gone meanwhile stays out.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    lines = dict(enumerate(heard.lines))
    for number, (message_id, part_id) in heard.left_out.items():
        del lines[number]
        try:
            message = store.message(heard.tenant, heard.session_id, message_id)
        except NotFound:
            continue
        now = message.detail.get("completed") or message.created
        for part in message.parts:
            if part["id"] == part_id:
                lines[number] = _encoder.encode(events.part_updated(heard.session_id, message_id, part, now))
    return heard.evolve(left_out={}, lines=tuple(line for _, line in sorted(lines.items())))
