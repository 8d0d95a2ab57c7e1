"""How jobs are asked to end, and sessions changed and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from domain import lifecycle
from domain.clock import Millis
from domain.errors import JobNotFound
from domain.jobs import CancelScope, Job
from domain.lifecycle import Change
from domain.sessions import Session
from storage.base import Cancelling
from storage.sql import one_offs, queue
from storage.sql.batches.outcomes import note_ends
from storage.sql.rows import JOB_COLUMNS, job_of
from storage.sql.schema import job, message, session
from storage.sql.transactions import Tx

_recorded = (
    sa.select(*JOB_COLUMNS)
    .where(
        job.c.tenant == sa.bindparam("tenant"),
        job.c.session_id == sa.bindparam("session_id"),
        job.c.incarnation == sa.bindparam("incarnation"),
    )
    .order_by(job.c.seq)
)
_delete_messages = message.delete().where(
    message.c.tenant == sa.bindparam("of_tenant"),
    message.c.session_id == sa.bindparam("of_session"),
    message.c.incarnation == sa.bindparam("of_incarnation"),
)
_delete_session = session.delete().where(
    session.c.tenant == sa.bindparam("of_tenant"), session.c.id == sa.bindparam("of_session")
)


def stop_behind(tx: Tx, change: Change, now: Millis) -> Change:
    """Add what `onFailure: "stop"` does: when a job ended without success, those behind it are cancelled."""
    jobs, messages, of = list(change.jobs), list(change.messages), change.session
    for ended in change.jobs:
        if lifecycle.stops_session(of, ended):
            decided = {each.id for each in jobs}
            behind = [each for each in queue.jobs_behind(tx, of, ended.seq) if each.id not in decided]
            more = lifecycle.cancel_all(of, behind, now, why=lifecycle.STOPPED)
            jobs += more.jobs
            messages += more.messages
            of = more.session
    return Change(of, tuple(jobs), tuple(messages))


def apply(tx: Tx, change: Change, now: Millis) -> tuple[Job, ...]:
    """Write a decision about open jobs of one locked session, and stamp its head. Returns the jobs that ended."""
    change = stop_behind(tx, change, now)
    queue.save_change(tx, change)
    queue.stamp_heads(tx, (change.session,), now)
    one_offs.settle(tx, change.jobs)
    return tuple(each for each in change.jobs if not each.state.is_open)


def cancel_job(tx: Tx, tenant: str, job_id: str) -> Cancelling:
    """Ask a job to end. See `Store.cancel_job`."""
    found = queue.find_job(tx, tenant, job_id)
    if found is None:
        raise JobNotFound(job_id)
    of = queue.find_session(tx, tenant, found.session_id, lock=True)
    current = queue.find_job(tx, tenant, job_id) or found
    if of is None or of.incarnation != current.incarnation or not current.state.is_open:
        return Cancelling((current,))
    now = tx.now()
    change = lifecycle.cancel(of, current, now, scope=CancelScope.JOB)
    if not change.jobs:
        return Cancelling((current,))
    ended = apply(tx, change, now)
    return Cancelling(change.jobs, ended)


def abort_session(tx: Tx, tenant: str, session_id: str) -> Cancelling:
    """Ask every open job of a session to end. See `Store.abort_session`."""
    of = queue.load_session(tx, tenant, session_id, lock=True)
    if not of.open_total:
        return Cancelling(())
    now = tx.now()
    asked = queue.open_jobs(tx, of)
    change = lifecycle.cancel_all(of, asked, now)
    if not change.jobs:
        return Cancelling(tuple(asked))
    ended = apply(tx, change, now)
    changed = {each.id: each for each in change.jobs}
    return Cancelling(tuple(changed.get(each.id, each) for each in asked), ended)


def update_session(tx: Tx, tenant: str, session_id: str, changes: Mapping[str, Any]) -> Session:
    """Change what a caller may change of a session. See `Store.update_session`."""
    of = queue.load_session(tx, tenant, session_id, lock=True)
    changed = of.evolve(**changes, updated=max(tx.now(), of.updated))
    queue.save_session(tx, changed)
    return changed


def delete_session(tx: Tx, tenant: str, session_id: str) -> tuple[Job, ...]:
    """End a session's incarnation. See `Store.delete_session`."""
    of = queue.load_session(tx, tenant, session_id, lock=True)
    now = tx.now()
    scope = {"tenant": of.tenant, "session_id": of.id, "incarnation": of.incarnation}
    buried = []
    cancelled = []
    for row in tx.execute(_recorded, scope).all():
        before = job_of(row)
        after = lifecycle.bury(before, now)
        if after is not before:
            buried.append(after)
        if before.state.is_open:
            cancelled.append(after)
    queue.save_jobs(tx, buried)
    note_ends(tx, cancelled, ())
    key = {"of_tenant": of.tenant, "of_session": of.id}
    tx.execute(_delete_messages, {**key, "of_incarnation": of.incarnation})
    tx.execute(_delete_session, key)
    return tuple(cancelled)
