"""What a queued job waits for, for people who ask why nothing happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from domain.clock import Millis
from domain.jobs import Job, State
from domain.record import Record

HELD: Millis = 2**53 - 1
"""The `ready_at` of a head whose batch is paused: no time that ever comes."""


@dataclass(frozen=True)
class Waiting(Record):
    """What must come first."""

    #: `session`: the jobs before it; `time`: its `notBefore` or back-off; `worker`: a free slot; `batch`: its batch is
    #: paused.
    reason: Literal["session", "time", "worker", "batch"]
    #: Of `session`: the job at the session's head, if it is known.
    job_id: str | None = None
    #: Of `time`: until when.
    until: Millis | None = None


def waiting(job: Job, head: Job | None, now: Millis) -> Waiting | None:
    """Tell what a job waits for; None if it is not queued.

    Args:
        job: the job.
        head: the head of its session, if it is known.
        now: the time, to tell whether the job's own has come.
    """
    if job.state is not State.QUEUED:
        return None
    if job.ready_at is None:
        return Waiting("session", job_id=head.id if head is not None and head.id != job.id else None)
    if job.ready_at == HELD:
        return Waiting("batch")
    if job.ready_at > now:
        return Waiting("time", until=job.ready_at)
    return Waiting("worker")
