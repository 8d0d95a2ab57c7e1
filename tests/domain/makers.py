"""Values that the rules are tried on."""

from typing import Any

from domain import lifecycle
from domain.creation import new_session
from domain.jobs import AttemptEnd, Finished, Job, Outcome
from domain.lifecycle import Change
from domain.prompts import Prompt
from domain.sessions import Creation, Session

NOW = 1_800_000_000_000
LEASE_MS = 30_000


def a_session(**creation: Any) -> Session:
    """A session that nothing has been said in."""
    return new_session("default", Creation("ses_a", **creation), NOW)


def a_prompt(text: str = "hi", **fields: Any) -> Prompt:
    """A prompt of one text part."""
    return Prompt(parts=({"type": "text", "text": text},), content_hash=f"hash of {text}", **fields)


def admitted(session: Session, **fields: Any) -> tuple[Session, Job]:
    """A prompt taken into a session, stamped if it is the head."""
    change = lifecycle.admit(session, a_prompt(**fields), default_model="echo/echo", now=NOW)
    (job,) = change.jobs
    return change.session, job if session.open_total else lifecycle.stamp(change.session, job, NOW)


def running(session: Session, now: int = NOW, **fields: Any) -> tuple[Session, Job]:
    """A head that a worker has claimed."""
    session, job = admitted(session, **fields)
    return session, lifecycle.claim(job, "w1", now, lease_ms=LEASE_MS)


def finish(session: Session, job: Job, outcome: Outcome, *, now: int = NOW, jitter: float = 0.5, **left: Any) -> Change:
    """What comes of the latest attempt's end."""
    end = AttemptEnd(outcome, **left)
    told = Finished(job.tenant, job.session_id, job.incarnation, job.id, job.attempt, end)
    change = lifecycle.finish(session, job, told, now, jitter=jitter)
    assert change is not None
    return change
