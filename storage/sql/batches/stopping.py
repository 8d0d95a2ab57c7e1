"""How the open jobs of a batch are held, let go, ended, and given another priority: a portion at a time."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from domain import lifecycle
from domain.batches.batch import Batch, BatchState
from domain.clock import Millis
from domain.jobs import CancelScope, Job
from domain.lifecycle import Change
from domain.sessions import Session
from domain.waiting import HELD
from storage.sql import queue
from storage.sql.ending import apply
from storage.sql.rows import JOB_COLUMNS, job_of
from storage.sql.schema import OF_BATCH, OPEN, QUEUED, READY, job
from storage.sql.transactions import Tx

_of_batch = (job.c.tenant == sa.bindparam("of_tenant")) & (job.c.batch_id == sa.bindparam("of_batch"))
_heads = (
    sa.select(job.c.id)
    .where(_of_batch, sa.text(OF_BATCH), sa.text(READY))
    .order_by(job.c.id)
    .limit(sa.bindparam("most"))
    .with_for_update(skip_locked=True)
)


def _set_ready(which: sa.Select[tuple[str]]) -> sa.Update:
    # SQLite has no FOR UPDATE, and needs none; SQLAlchemy leaves it out there.
    chosen = job.c.id.in_(which.correlate(None).scalar_subquery())
    return job.update().where(job.c.tenant == sa.bindparam("of_tenant"), chosen).values(ready_at=sa.bindparam("at"))


_hold = _set_ready(_heads.where(job.c.ready_at < HELD))
_release = _set_ready(_heads.where(job.c.ready_at == HELD))
_open = (
    sa.select(*JOB_COLUMNS)
    .where(_of_batch, sa.text(OF_BATCH), sa.text(OPEN), job.c.cancel_requested.is_(None))
    .limit(sa.bindparam("most"))
)
_of_priority = (
    sa.select(*JOB_COLUMNS)
    .where(_of_batch, sa.text(OF_BATCH), sa.text(OPEN), sa.text(QUEUED), job.c.priority == sa.bindparam("priority"))
    .limit(sa.bindparam("most"))
)

CANCELLED = "the batch was cancelled"
EXPIRED = "the batch's completion window was over"


def hold(tx: Tx, of: Batch, limit: int) -> int:
    """Have heads that wait for a worker wait on. See `Batches.hold`."""
    scope = {"of_tenant": of.tenant, "of_batch": of.id, "most": limit, "at": HELD}
    return tx.execute(_hold, scope).rowcount


def release(tx: Tx, of: Batch, limit: int) -> int:
    """Let held heads go. See `Batches.release`."""
    scope = {"of_tenant": of.tenant, "of_batch": of.id, "most": limit, "at": tx.now()}
    return tx.execute(_release, scope).rowcount


def cancel_jobs(tx: Tx, of: Batch, limit: int) -> tuple[list[Job], int]:
    """Ask open jobs to end. See `Batches.cancel_jobs`."""
    why = EXPIRED if of.ending is BatchState.EXPIRED else CANCELLED

    def decide(session: Session, current: Job, now: Millis) -> Change:
        return lifecycle.cancel(session, current, now, scope=CancelScope.JOB, why=why)

    rows = tx.execute(_open, {"of_tenant": of.tenant, "of_batch": of.id, "most": limit}).all()
    return _each(tx, [job_of(row) for row in rows], decide), len(rows)


def reprioritise(tx: Tx, of: Batch, old: int, limit: int) -> int:
    """Give queued jobs of one priority the batch's; how many there were."""

    def decide(session: Session, current: Job, _now: Millis) -> Change:
        return lifecycle.reprioritise(session, current, of.priority)

    scope = {"of_tenant": of.tenant, "of_batch": of.id, "most": limit, "priority": old}
    found = [job_of(row) for row in tx.execute(_of_priority, scope).all()]
    _each(tx, found, decide)
    return len(found)


def _each(tx: Tx, found: list[Job], decide: Callable[[Session, Job, Millis], Change]) -> list[Job]:
    """Decide on each of some jobs, under the locks of their sessions; those that others hold are left.

    Returns the jobs that ended.
    """
    sessions = queue.lock_sessions(tx, ((each.tenant, each.session_id) for each in found), skip_locked=True)
    current = queue.load_jobs(tx, ((each.tenant, each.id) for each in found))
    now = tx.now()
    ended: list[Job] = []
    for each in found:
        name = (each.tenant, each.session_id)
        session, now_is = sessions.get(name), current.get(each.id)
        if session is None or now_is is None or session.incarnation != now_is.incarnation:
            continue
        if session.on_failure == "stop":  # then the end of one before it was its own
            now_is = queue.find_job(tx, each.tenant, each.id) or now_is
        change = decide(session, now_is, now)
        if change.jobs:
            ended += apply(tx, change, now)
            sessions[name] = queue.find_session(tx, *name, lock=False) or change.session
    return ended
