"""Jobs as the API gives them."""

from __future__ import annotations

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from domain.clock import Millis
from domain.jobs import Job, State
from domain.shapes import Tokens, tokens_shape
from domain.waiting import Waiting, waiting

WaitingShape = TypedDict(
    "WaitingShape",
    {"for": Literal["session", "time", "worker", "batch"], "jobID": NotRequired[str], "until": NotRequired[Millis]},
)


class AttemptShape(TypedDict):
    """One try at a job."""

    number: int
    worker: str
    started: Millis
    ended: NotRequired[Millis]
    outcome: NotRequired[str]


class JobError(TypedDict):
    """Why a job did not succeed."""

    code: str
    message: str


class JobShape(TypedDict):
    """A job. Times are epoch milliseconds."""

    id: str
    sessionID: str
    messageID: str
    assistantID: NotRequired[str]
    state: State
    priority: int
    seq: int
    attempt: int
    charges: int
    maxAttempts: int
    model: str
    time: dict[str, Millis]
    usage: NotRequired[Tokens]
    cost: NotRequired[float]
    error: NotRequired[JobError]
    waiting: NotRequired[WaitingShape]
    retryOf: NotRequired[str]
    batchID: NotRequired[str]
    attempts: list[AttemptShape]


def job_shape(job: Job, head: Job | None, now: Millis) -> JobShape:
    """Write a job; `head` is its session's, if it is known, and `now` the time, to say what the job waits for."""
    shape: JobShape = {
        "id": job.id,
        "sessionID": job.session_id,
        "messageID": job.message_id,
        "state": job.state,
        "priority": job.priority,
        "seq": job.seq,
        "attempt": job.attempt,
        "charges": job.charges,
        "maxAttempts": job.max_attempts,
        "model": job.model,
        "time": _job_time(job),
        "attempts": _attempts(job),
    }
    if job.assistant_id is not None:
        shape["assistantID"] = job.assistant_id
    if job.usage is not None:
        shape["usage"] = tokens_shape(job.usage)
    if job.cost is not None:
        shape["cost"] = job.cost
    if job.failure is not None:
        shape["error"] = {"code": job.failure.code, "message": job.failure.message}
    if job.retry_of is not None:
        shape["retryOf"] = job.retry_of
    if job.batch_id is not None:
        shape["batchID"] = job.batch_id
    reason = waiting(job, head, now)
    if reason is not None:
        shape["waiting"] = _waiting(reason)
    return shape


def _job_time(job: Job) -> dict[str, Millis]:
    times = {
        "created": job.created,
        "notBefore": job.not_before,
        "expiresAt": job.expires_at,
        "started": job.started,
        "ended": job.ended,
    }
    return {name: time for name, time in times.items() if time is not None}


def _attempts(job: Job) -> list[AttemptShape]:
    attempts: list[AttemptShape] = [
        {
            "number": past.number,
            "worker": past.worker,
            "started": past.started,
            "ended": past.ended,
            "outcome": past.outcome.value,
        }
        for past in job.past_attempts
    ]
    if job.attempt and (not attempts or attempts[-1]["number"] < job.attempt):
        latest: AttemptShape = {
            "number": job.attempt,
            "worker": job.worker or "",
            "started": job.attempt_started or job.created,
        }
        if job.ended is not None and job.outcome is not None:
            latest["ended"] = job.ended
            latest["outcome"] = job.outcome.value
        attempts.append(latest)
    return attempts


def _waiting(reason: Waiting) -> WaitingShape:
    shape: WaitingShape = {"for": reason.reason}
    if reason.job_id is not None:
        shape["jobID"] = reason.job_id
    if reason.until is not None:
        shape["until"] = reason.until
    return shape
