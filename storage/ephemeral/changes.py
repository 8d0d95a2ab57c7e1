"""What callers change of an ephemeral session: each a decision over a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain import creation as creating
from domain import lifecycle
from domain.ephemeral import check_times
from domain.errors import (
    BacklogFull,
    JobNotFound,
    JobNotRetryable,
    MessageNotFound,
    PromptDiffers,
    SessionBusy,
    SessionNotFound,
)
from domain.jobs import CancelScope, Job, State
from domain.lifecycle import Change
from domain.messages import Message, Role
from domain.prompts import Admission, Disposition, Prompt
from domain.sameness import refuse_answers_name, same_prompt
from domain.sessions import Creation, Session
from storage.base import Branch, Cancelling
from storage.ephemeral.snapshots import Snapshot


def create(snapshot: Snapshot, creation: Creation, check_parent: Callable[[], None]) -> tuple[Session, bool]:
    """Create a session or return the one that is there. See `Store.create_session`."""
    there = snapshot.session
    if there is None:
        check_parent()
        made = creating.new_session(snapshot.tenant, creation, snapshot.now)
        snapshot.save(made)
        return made, True
    repeated = creating.repeat(there, creation)
    if repeated is not there:
        check_parent()
        snapshot.save(repeated)
    return repeated, False


def plant(snapshot: Snapshot, creation: Creation, branch: Callable[[], Branch]) -> tuple[Session, bool]:
    """Create a session from another's turns, or return the one that was made so. See `Store.plant`."""
    if snapshot.session is not None:
        return creating.repeat_fork(snapshot.session, creation), False
    found = branch()
    change = creating.fork(snapshot.tenant, found.source, creation, found.turns, snapshot.now)
    snapshot.apply(change)
    return change.session, True


def admit(snapshot: Snapshot, prompt: Prompt, *, default_model: str, check_backlog: Callable[[], None]) -> Admission:
    """Take a prompt. See `Store.admit`."""
    created = snapshot.session is None
    if created:
        if prompt.if_missing == "fail":
            raise SessionNotFound(snapshot.session_id)
        implied = creating.implied(snapshot.session_id, prompt)
        snapshot.save(creating.new_session(snapshot.tenant, implied, snapshot.now))
    else:
        kept = _kept(snapshot, prompt)
        if kept is not None:
            return _repeated(snapshot, prompt, kept, default_model)
        head_id = snapshot.head_id()
        if head_id is not None and prompt.message_id is not None:
            refuse_answers_name(prompt, snapshot.job(head_id))
        if snapshot.current.open_total and prompt.when_busy == "reject":
            raise SessionBusy(snapshot.session_id)
    check_times(prompt, snapshot.now)
    if not prompt.no_reply:
        check_backlog()
    ended: tuple[Job, ...] = ()
    interrupted: tuple[Job, ...] = ()
    if snapshot.current.open_total and prompt.when_busy == "interrupt":
        change = lifecycle.cancel_all(snapshot.current, snapshot.open_jobs(), snapshot.now, why=lifecycle.INTERRUPTED)
        snapshot.apply(change)
        ended = tuple(job for job in change.jobs if not job.state.is_open)
        interrupted = tuple(job for job in change.jobs if job.state is State.RUNNING)
    change = lifecycle.admit(snapshot.current, prompt, default_model=default_model, now=snapshot.now)
    snapshot.apply(change)
    new = snapshot.job(change.jobs[0].id) if change.jobs else None
    message = change.messages[0]
    return Admission(Disposition.ADMITTED, created, snapshot.current, message, new, ended, interrupted)


def _kept(snapshot: Snapshot, prompt: Prompt) -> Message | None:
    if prompt.message_id is not None:
        return snapshot.message(prompt.message_id)
    if prompt.idempotency_key is not None:
        return snapshot.message_for_key(prompt.idempotency_key)
    return None


def _repeated(snapshot: Snapshot, prompt: Prompt, kept: Message, default_model: str) -> Admission:
    of = snapshot.current
    if not same_prompt(kept, prompt, of, default_model=default_model):
        field = "messageID" if prompt.message_id else "Idempotency-Key"
        raise PromptDiffers(prompt.message_id or prompt.idempotency_key or "", field)
    job = snapshot.job(kept.job_id) if kept.job_id is not None else None
    return Admission(Disposition.REPEATED, False, of, kept, job)  # noqa: FBT003 - named in the record


def retry(
    snapshot: Snapshot,
    job_id: str,
    original: Callable[[Job], Message | None],
    *,
    idempotency_key: str | None,
    default_model: str,
    check_backlog: Callable[[], None],
) -> Admission:
    """Admit a job that repeats an ended one. See `Store.retry_job`."""
    old = snapshot.job(job_id) if snapshot.session is not None else None
    if old is None:
        raise JobNotFound(job_id)
    if old.state.is_open or old.state is State.SUCCEEDED:
        raise JobNotRetryable(job_id, old.state)
    message = original(old)
    if message is None or message.role is not Role.USER:
        raise MessageNotFound(old.message_id)
    prompt = lifecycle.retried(old, message).evolve(idempotency_key=idempotency_key)
    return admit(snapshot, prompt, default_model=default_model, check_backlog=check_backlog)


def stop_behind(snapshot: Snapshot, change: Change) -> Change:
    """Add what `onFailure: "stop"` does: when a job ended without success, those behind it are cancelled."""
    jobs, messages, of = list(change.jobs), list(change.messages), change.session
    for ended in change.jobs:
        if lifecycle.stops_session(of, ended):
            decided = {job.id for job in jobs}
            behind = [job for job in snapshot.open_jobs() if job.seq > ended.seq and job.id not in decided]
            more = lifecycle.cancel_all(of, behind, snapshot.now, why=lifecycle.STOPPED)
            jobs += more.jobs
            messages += more.messages
            of = more.session
    return Change(of, tuple(jobs), tuple(messages))


def apply(snapshot: Snapshot, change: Change) -> tuple[Job, ...]:
    """Change what a decision about open jobs changes. Returns the jobs that ended."""
    change = stop_behind(snapshot, change)
    snapshot.apply(change)
    return tuple(job for job in change.jobs if not job.state.is_open)


def cancel(snapshot: Snapshot, job_id: str) -> Cancelling:
    """Ask a job to end. See `Store.cancel_job`."""
    current = snapshot.job(job_id) if snapshot.session is not None else None
    if current is None:
        raise JobNotFound(job_id)
    change = lifecycle.cancel(snapshot.current, current, snapshot.now, scope=CancelScope.JOB)
    if not change.jobs:
        return Cancelling((current,))
    ended = apply(snapshot, change)
    return Cancelling(change.jobs, ended)


def abort(snapshot: Snapshot) -> Cancelling:
    """Ask every open job of the session to end. See `Store.abort_session`."""
    if snapshot.session is None:
        raise SessionNotFound(snapshot.session_id)
    if not snapshot.current.open_total:
        return Cancelling(())
    asked = snapshot.open_jobs()
    change = lifecycle.cancel_all(snapshot.current, asked, snapshot.now)
    ended = apply(snapshot, change) if change.jobs else ()
    changed = {job.id: job for job in change.jobs}
    return Cancelling(tuple(changed.get(job.id, job) for job in asked), ended)


def update(snapshot: Snapshot, changes: Mapping[str, Any]) -> Session:
    """Change what a caller may change of the session. See `Store.update_session`."""
    if snapshot.session is None:
        raise SessionNotFound(snapshot.session_id)
    changed = snapshot.current.evolve(**changes, updated=max(snapshot.now, snapshot.current.updated))
    snapshot.save(changed)
    return changed


def delete(snapshot: Snapshot) -> tuple[Job, ...]:
    """Remove the session, its messages and its jobs. See `Store.delete_session`."""
    if snapshot.session is None:
        raise SessionNotFound(snapshot.session_id)
    cancelled = tuple(lifecycle.bury(job, snapshot.now) for job in snapshot.open_jobs())
    snapshot.remove()
    return cancelled


def check_open(open_jobs: int, limit: int, retry_after_s: int) -> None:
    """Refuse a prompt beyond the limit.

    Raises:
        BacklogFull: the tenant has too many open jobs.
    """
    if open_jobs >= limit:
        raise BacklogFull(limit, retry_after_s)
