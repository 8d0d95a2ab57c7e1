"""Every change to a session's queue, decided in one place: values in, values out.

A keeper (SQL, Redis, or plain memory) loads what a decision looks at, under the session's lock and with its own clock
read under that lock, asks here, and writes what comes back, atomically. At the end of every such change it stamps the
session's head (`stamp`), which it finds as the open job with the lowest sequence number.

What these rules keep true of every session:

- Sequence numbers are given in the order of admission, and only the head may be claimed: prompts run one after another.
- `ready_at` is set on the head and on no other job.
- A terminal job never changes again, has one outcome, and exactly one assistant message.
- Attempt numbers only rise, and what an attempt leaves is taken only while its number is the job's latest and running.
- `Session.open` counts the open jobs by priority.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from domain import retry
from domain.answers import DEFAULT_AGENT, answer_of
from domain.clock import Millis
from domain.ids import new_job_id, new_message_id
from domain.jobs import AttemptEnd, CancelScope, Failure, Finished, Job, Outcome, PastAttempt, State
from domain.messages import Message, Role
from domain.prompts import Prompt
from domain.record import Record
from domain.sessions import Session

SUSPECT_WINDOW_MS: Millis = 2_000
"""How long after its start a suspect is watched alone. A prompt that ends its worker mostly does so at once."""

STOPPED = "an earlier prompt of the session did not succeed"
"""Why a prompt was cancelled behind another, where `onFailure` is "stop"."""

INTERRUPTED = "interrupted by a later prompt"
"""Why a prompt was cancelled by another, whose `whenBusy` is "interrupt"."""

MOST_LOSSES = 10
"""A job that lost this many workers fails, whoever is to blame."""


@dataclass(frozen=True)
class Change(Record):
    """What a decision changed: write all of it, or nothing."""

    session: Session
    #: The changed (or new) jobs, whole.
    jobs: tuple[Job, ...] = ()
    #: New messages.
    messages: tuple[Message, ...] = ()


def admit(session: Session, prompt: Prompt, *, default_model: str, now: Millis) -> Change:
    """Take a prompt into its session: the next sequence number, the user message and, but for `noReply`, the job."""
    seq = session.seq + 1
    model = prompt.model or session.model or default_model
    detail = dict(prompt.detail or {})
    given = {"model": prompt.model, "agent": detail.get("agent"), "retryOf": prompt.retry_of}
    detail["given"] = {name: value for name, value in given.items() if value}
    detail["agent"] = detail.get("agent") or session.agent or DEFAULT_AGENT
    detail["model"] = model
    job = None if prompt.no_reply else _new_job(session.evolve(seq=seq), prompt, model, detail["agent"], now)
    message = Message(
        tenant=session.tenant,
        session_id=session.id,
        incarnation=session.incarnation,
        seq=seq,
        role=Role.USER,
        id=prompt.message_id or (job.message_id if job else new_message_id()),
        created=now,
        parts=tuple(prompt.parts),
        detail=detail,
        job_id=job.id if job else None,
        content_hash=prompt.content_hash,
        idempotency_key=None if prompt.message_id else prompt.idempotency_key,
    )
    after = session.evolve(seq=seq, updated=now, ttl_ms=prompt.ttl_ms or session.ttl_ms)
    if job is None:
        return Change(after, (), (message,))
    return Change(after.opened(job.priority, 1), (job,), (message,))


def _new_job(session: Session, prompt: Prompt, model: str, agent: str, now: Millis) -> Job:
    return Job(
        tenant=session.tenant,
        id=new_job_id(session.id, session.incarnation),
        session_id=session.id,
        incarnation=session.incarnation,
        seq=session.seq,
        message_id=prompt.message_id or new_message_id(),
        model=model,
        agent=agent,
        created=now,
        priority=prompt.priority,
        max_attempts=prompt.max_attempts,
        timeout_ms=prompt.timeout_ms,
        not_before=prompt.not_before,
        expires_at=prompt.expires_at,
        retry_of=prompt.retry_of,
        batch_id=prompt.batch_id,
        line=prompt.line,
    )


def stamp(session: Session, head: Job, now: Millis) -> Job:
    """Mark a job as its session's head: when it may be claimed, and as how urgent.

    A time set before (by back-off, say) stays. The rank is that of the most urgent open job of the session, since
    that one waits for the head. Returns the same object if nothing is to be changed.
    """
    ready_at = head.ready_at if head.ready_at is not None else max(now, head.not_before or 0)
    if ready_at == head.ready_at and head.rank == session.urgency:
        return head
    return head.evolve(ready_at=ready_at, rank=session.urgency)


def is_claimable(job: Job, now: Millis) -> bool:
    """Tell whether a job may be started: a queued head whose time has come."""
    return job.state is State.QUEUED and job.ready_at is not None and job.ready_at <= now and not is_overdue(job, now)


def is_overdue(job: Job, now: Millis) -> bool:
    """Tell whether a job missed its `expiresAt`. One that ever started has kept it."""
    return job.state is State.QUEUED and job.attempt == 0 and job.expires_at is not None and job.expires_at <= now


def claim(job: Job, worker: str, now: Millis, *, lease_ms: Millis) -> Job:
    """Begin the next attempt at a claimable job, leased to a worker."""
    return job.evolve(
        state=State.RUNNING,
        attempt=job.attempt + 1,
        worker=worker,
        lease_until=now + lease_ms,
        renewed=now,
        assistant_id=new_message_id(),
        started=job.started if job.started is not None else now,
        attempt_started=now,
    )


def holds(job: Job, attempt: int) -> bool:
    """The fence: whether an attempt still owns its job."""
    return job.state is State.RUNNING and job.attempt == attempt


def finish(session: Session, job: Job, finished: Finished, now: Millis, *, jitter: float) -> Change | None:
    """Take what an attempt left.

    Success ends the job. So does an error that a repeat would meet again, and the last attempt that is allowed.
    Otherwise the job is queued again: after a back-off if the attempt is charged, at once if its worker gave it back.
    A job that somebody asked to cancel is not tried again.

    Args:
        session: the job's session, of the incarnation that the attempt was made for.
        job: the job as it is kept now.
        finished: the end, with the number of its attempt.
        now: the store's time.
        jitter: a random number, at least 0 and below 1.

    Returns:
        The change, or None if the attempt had lost its lease: then its result must be thrown away.
    """
    if not holds(job, finished.attempt):
        return None
    end = finished.end
    match end.outcome:
        case Outcome.SUCCEEDED:
            return _end(session, job, State.SUCCEEDED, now, end)
        case Outcome.CANCELLED:
            return _end(session, job, State.CANCELLED, now, end)
        case Outcome.FAILED:
            return _end(session, job.evolve(charges=job.charges + 1), State.FAILED, now, end)
        case Outcome.TRANSIENT | Outcome.TIMED_OUT:
            charged = job.evolve(charges=job.charges + 1)
            if job.cancel_requested:
                return _end(session, charged, State.CANCELLED, now, end)
            if charged.charges >= job.max_attempts:
                return _end(session, charged, State.FAILED, now, end)
            wait = retry.delay(charged.charges, jitter, end.retry_after_ms)
            return _requeue(_spent(session, end), charged, end.outcome, now, wait)
        case Outcome.RETURNED | Outcome.LOST:
            return _interrupted(session, job, Outcome.RETURNED, now, end)


def lose(session: Session, job: Job, now: Millis, *, jitter: float) -> Change:
    """End an attempt whose lease ran out.

    A suspect that lost its worker within its first two seconds is charged; nobody else is, so that one prompt that
    ends its workers does not condemn those beside it. The engine renews a suspect's lease when those two seconds are
    over, which is what shows that it got past them.
    """
    early = (job.renewed or 0) - (job.attempt_started or 0) < SUSPECT_WINDOW_MS
    charge = 1 if job.is_suspect and early else 0
    lost = job.evolve(losses=job.losses + 1, charges=job.charges + charge)
    if lost.cancel_requested:
        return _interrupted(session, lost, Outcome.LOST, now, None)
    if lost.charges >= lost.max_attempts or lost.losses >= MOST_LOSSES:
        return _end(session, lost, State.FAILED, now, AttemptEnd(Outcome.LOST, failure=_worker_lost(lost)))
    if charge:
        return _requeue(session, lost, Outcome.LOST, now, retry.delay(lost.charges, jitter))
    return _interrupted(session, lost, Outcome.LOST, now, None)


def _interrupted(session: Session, job: Job, outcome: Outcome, now: Millis, end: AttemptEnd | None) -> Change:
    """Go on after an attempt that is nobody's fault: again at once, unless the caller allowed one attempt only."""
    if job.cancel_requested:
        left = end.evolve(outcome=outcome) if end else AttemptEnd(outcome)
        return _end(session, job, State.CANCELLED, now, left)
    if job.max_attempts == 1:
        left = end or AttemptEnd(outcome)
        return _end(session, job, State.FAILED, now, left.evolve(outcome=outcome, failure=_worker_lost(job)))
    return _requeue(_spent(session, end), job, outcome, now, 0)


def _worker_lost(job: Job) -> Failure:
    times = "once" if job.losses <= 1 else f"{job.losses} times"
    return Failure("worker_lost", f"the worker that ran this prompt was lost ({times}); no more attempts are allowed")


def cancel(session: Session, job: Job, now: Millis, *, scope: CancelScope, why: str = "cancelled") -> Change:
    """Ask a job to end. A queued one ends here; a running one is marked, and its worker ends it; others stay."""
    if job.state is State.QUEUED:
        end = AttemptEnd(Outcome.CANCELLED, failure=Failure("cancelled", why))
        return _end(session, job, State.CANCELLED, now, end)
    if job.state is State.RUNNING and job.cancel_requested is not CancelScope.SESSION:
        return Change(session, (job.evolve(cancel_requested=scope),))
    return Change(session)


def cancel_all(session: Session, jobs: Iterable[Job], now: Millis, *, why: str = "the session was aborted") -> Change:
    """Ask all these open jobs of a session to end, in order."""
    changed: list[Job] = []
    messages: list[Message] = []
    for job in jobs:
        change = cancel(session, job, now, scope=CancelScope.SESSION, why=why)
        session = change.session
        changed.extend(change.jobs)
        messages.extend(change.messages)
    return Change(session, tuple(changed), tuple(messages))


def reprioritise(session: Session, job: Job, priority: int) -> Change:
    """Give a queued job another priority. Others stay."""
    if job.state is not State.QUEUED or job.priority == priority:
        return Change(session)
    after = session.opened(job.priority, -1).opened(priority, 1)
    return Change(after, (job.evolve(priority=priority),))


def stops_session(session: Session, job: Job) -> bool:
    """Tell whether a job's end cancels those behind it: `onFailure: "stop"`, and it ended without success.

    Not after an abort: what was behind it then has been cancelled with it, and what came later was meant to run.
    """
    return (
        session.on_failure == "stop"
        and job.state in (State.FAILED, State.CANCELLED, State.EXPIRED)
        and job.cancel_requested is not CancelScope.SESSION
    )


def expire(session: Session, job: Job, now: Millis) -> Change:
    """End a job that had not started by its `expiresAt`. Others stay."""
    if not is_overdue(job, now):
        return Change(session)
    failure = Failure("expired", "the prompt had not started by its expiresAt")
    return _end(session, job, State.EXPIRED, now, AttemptEnd(Outcome.CANCELLED, failure=failure))


def bury(job: Job, now: Millis) -> Job:
    """End an open job whose session is deleted, and take the content off any job's record. No message is left."""
    if job.state.is_open:
        job = _terminal(job, State.CANCELLED, now, None).evolve(failure=Failure("session_deleted", ""))
    if job.failure is not None and job.failure.message:
        job = job.evolve(failure=job.failure.evolve(message=""))
    return job


def retried(job: Job, message: Message) -> Prompt:
    """Make the prompt of a new job at the tail that repeats an ended one. Its times are not repeated."""
    return Prompt(
        parts=message.parts,
        content_hash=message.content_hash or "",
        model=job.model,
        detail={key: value for key, value in message.detail.items() if key not in ("model", "given")},
        priority=job.priority,
        max_attempts=job.max_attempts,
        timeout_ms=job.timeout_ms,
        if_missing="fail",
        retry_of=job.id,
    )


def _requeue(session: Session, job: Job, outcome: Outcome, now: Millis, wait: Millis) -> Change:
    """Queue a job again: it stays its session's head and keeps its place."""
    past = PastAttempt(job.attempt, job.worker or "", job.attempt_started or now, now, outcome)
    queued = job.evolve(
        state=State.QUEUED,
        ready_at=now + wait,
        worker=None,
        lease_until=None,
        renewed=None,
        assistant_id=None,
        past_attempts=(*job.past_attempts, past),
    )
    return Change(session, (queued,))


def _end(session: Session, job: Job, state: State, now: Millis, end: AttemptEnd) -> Change:
    """Bring an open job to its terminal state, with its assistant message."""
    ended = _terminal(job, state, now, end)
    after = _spent(session, end).opened(job.priority, -1).evolve(updated=now)
    answer = answer_of(session, ended, end, now)
    return Change(after, (ended.evolve(assistant_id=answer.id),), (answer,))


def _spent(session: Session, end: AttemptEnd | None) -> Session:
    """Count what an attempt used, whether or not its job goes on: the provider has counted it."""
    if end is not None and end.usage is not None:
        session = session.evolve(usage=session.usage.plus(end.usage))
    if end is not None and end.cost is not None:
        session = session.evolve(cost=session.cost + end.cost)
    return session


def _terminal(job: Job, state: State, now: Millis, end: AttemptEnd | None) -> Job:
    was_running = job.state is State.RUNNING
    outcome = None
    if was_running:
        outcome = end.outcome if end is not None else Outcome.CANCELLED
    return job.evolve(
        state=state,
        ended=now,
        ready_at=None,
        lease_until=None,
        renewed=None,
        usage=end.usage if end is not None else None,
        cost=end.cost if end is not None else None,
        failure=None if state is State.SUCCEEDED or end is None else end.failure,
        outcome=outcome,
    )
