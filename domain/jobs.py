"""Jobs: one accepted prompt each on its way to its answer, and the attempts at it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.clock import Millis
from domain.messages import Message, Part, Usage
from domain.record import Record
from domain.sessions import Session


class State(StrEnum):
    """Where a job is in its life."""

    #: Waits: for its turn, a time, or a worker.
    QUEUED = "queued"
    #: A worker holds its lease.
    RUNNING = "running"
    #: Its answer is committed.
    SUCCEEDED = "succeeded"
    #: No more attempts will be made.
    FAILED = "failed"
    #: A caller ended it.
    CANCELLED = "cancelled"
    #: It had not started by its `expiresAt`.
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        """Whether the job may still change."""
        return self in (State.QUEUED, State.RUNNING)


class Outcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    #: An error that a repeat would meet again.
    FAILED = "failed"
    #: An error that a repeat may not meet.
    TRANSIENT = "transient"
    #: It ran longer than the job's `timeout`.
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    #: Its worker's lease ran out.
    LOST = "lost"
    #: Its worker shut down and handed it back.
    RETURNED = "returned"


class CancelScope(StrEnum):
    """What a request to cancel was about."""

    #: This job alone.
    JOB = "job"
    #: All that its session had open then; those behind it were cancelled with it.
    SESSION = "session"


@dataclass(frozen=True)
class Failure(Record):
    """Why an attempt or a job did not succeed."""

    #: A stable word: `worker_lost`, `timeout`, `provider_error`, `internal_error`, `cancelled`, `expired`, …
    code: str
    #: For people. A model's own words may be in it, so it counts as content.
    message: str
    #: The provider's HTTP status, if there was one.
    status: int | None = None
    #: Whether a model's provider said no (and not promptq itself).
    from_provider: bool = False


@dataclass(frozen=True)
class PastAttempt(Record):
    """An attempt that ended without ending its job."""

    number: int
    worker: str
    started: Millis
    ended: Millis
    outcome: Outcome


@dataclass(frozen=True)
class Job(Record):
    """One accepted prompt. Its place in its session's order is `seq`."""

    tenant: str
    id: str
    session_id: str
    incarnation: int
    seq: int
    message_id: str
    #: `provider/model`
    model: str
    agent: str
    created: Millis
    state: State = State.QUEUED
    #: 0 to 9; 9 is the most urgent.
    priority: int = 5
    max_attempts: int = 3
    #: Per attempt.
    timeout_ms: Millis = 600_000
    not_before: Millis | None = None
    #: It must have started by then.
    expires_at: Millis | None = None
    retry_of: str | None = None
    batch_id: str | None = None
    #: Of a batch's job: which line it answers, as `domain.batches.lines.LineName` writes it.
    line: str | None = None
    #: Set if and only if the job is its session's head: when it may be claimed (may be to come).
    ready_at: Millis | None = None
    #: Of a head: the highest priority among its session's open jobs.
    rank: int = 0
    #: The number of the latest attempt, from 1; 0 before the first. It only rises: it is the fencing token.
    attempt: int = 0
    #: The attempts that count against `max_attempts`.
    charges: int = 0
    #: How many of its attempts lost their worker.
    losses: int = 0
    #: Of a running job: who holds the lease.
    worker: str | None = None
    lease_until: Millis | None = None
    #: Of a running job: when the lease was last granted or renewed.
    renewed: Millis | None = None
    #: Of a running or ended job: the assistant message of the latest attempt.
    assistant_id: str | None = None
    #: Of a running job: what somebody asked to cancel, or None.
    cancel_requested: CancelScope | None = None
    #: When the first attempt started.
    started: Millis | None = None
    #: When the latest attempt started.
    attempt_started: Millis | None = None
    ended: Millis | None = None
    usage: Usage | None = None
    #: US dollars; None if unknown.
    cost: float | None = None
    failure: Failure | None = None
    #: Attempts before the latest that ended, oldest first; and the latest, if it ended without ending the job.
    past_attempts: tuple[PastAttempt, ...] = ()
    #: Of an ended job: how its latest attempt ended; None if it had none.
    outcome: Outcome | None = None

    @property
    def is_suspect(self) -> bool:
        """Whether it has lost so many workers that it may be what ends them."""
        return self.losses >= SUSPECT_LOSSES


SUSPECT_LOSSES = 2
"""From its second lost worker on, a job is a suspect: the first is anybody's bad luck."""


@dataclass(frozen=True)
class AttemptEnd(Record):
    """How an attempt ended, in its worker's words. Lost attempts have none: nobody is there to tell."""

    outcome: Outcome
    #: What the attempt produced, whole or so far.
    parts: Sequence[Part] = ()
    usage: Usage | None = None
    #: US dollars; None if unknown.
    cost: float | None = None
    #: Why the model stopped, in its provider's word (`stop`, `length`, …).
    finish: str | None = None
    failure: Failure | None = None
    #: How long the provider asked us to wait, from now.
    retry_after_ms: Millis | None = None


@dataclass(frozen=True)
class Finished(Record):
    """An attempt's end, addressed: what a worker hands to the store."""

    tenant: str
    session_id: str
    incarnation: int
    job_id: str
    attempt: int
    end: AttemptEnd


@dataclass(frozen=True)
class Claimed(Record):
    """A job that a worker has just been given, with the prompt to answer."""

    job: Job
    prompt: Message
    #: The session's own settings that an executor may need (`agent`, `permission`, `directory`).
    session: Session
