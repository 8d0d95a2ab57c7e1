"""What every change to a session's queue is made of: the locked load, the write, the stamp of the head.

The statements are built once, at import: SQLAlchemy spends 20 µs on a prebuilt one and 170 µs on a new one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from domain import lifecycle
from domain.clock import Millis
from domain.errors import SessionNotFound
from domain.jobs import Job, State
from domain.lifecycle import Change
from domain.messages import Message
from domain.sessions import Session
from storage.sql.batches.outcomes import note_ends
from storage.sql.prepared import Prepared
from storage.sql.prepared_rows import Inserts, Updates
from storage.sql.rows import (
    CLAIM_CHANGING,
    JOB_CHANGING,
    JOB_COLUMNS,
    QUEUE_CHANGING,
    SESSION_CHANGING,
    SESSION_COLUMNS,
    claim_change,
    job_change,
    job_of,
    job_row,
    message_row,
    queue_change,
    session_change,
    session_of,
)
from storage.sql.schema import OPEN, job, message, session
from storage.sql.transactions import Tx

CHUNK = 500
"""How many rows one statement with a list takes at most."""

_job_scope = (
    (job.c.tenant == sa.bindparam("tenant"))
    & (job.c.session_id == sa.bindparam("session_id"))
    & (job.c.incarnation == sa.bindparam("incarnation"))
)
_session_key = (session.c.tenant == sa.bindparam("key_tenant")) & (session.c.id == sa.bindparam("key_id"))
_job_key = (job.c.tenant == sa.bindparam("key_tenant")) & (job.c.id == sa.bindparam("key_id"))

_one_session = sa.select(*SESSION_COLUMNS).where(_session_key)
_select_session = Prepared(_one_session)
_lock_session = Prepared(_one_session.with_for_update())
_some_sessions = sa.select(*SESSION_COLUMNS).where(
    session.c.tenant == sa.bindparam("tenant"), session.c.id.in_(sa.bindparam("ids", expanding=True))
)
_lock_sessions = Prepared(_some_sessions.order_by(session.c.id).with_for_update())
_lock_free_sessions = Prepared(_some_sessions.order_by(session.c.id).with_for_update(skip_locked=True))

_one_job = sa.select(*JOB_COLUMNS).where(_job_key)
_select_job = Prepared(_one_job)
_lock_free_job = Prepared(_one_job.with_for_update(skip_locked=True))
_select_jobs = Prepared(
    sa.select(*JOB_COLUMNS).where(
        job.c.tenant == sa.bindparam("tenant"), job.c.id.in_(sa.bindparam("ids", expanding=True))
    )
)
_open = sa.select(*JOB_COLUMNS).where(_job_scope, sa.text(OPEN)).order_by(job.c.seq)
_open_jobs = Prepared(_open)
_jobs_behind = Prepared(_open.where(job.c.seq > sa.bindparam("seq")))
_head = Prepared(_open.limit(1))

#: What a stamp is decided by.
_HEAD_NAMES = ("tenant", "id", "session_id", "not_before", "ready_at", "rank")
_HEAD_COLUMNS = ", ".join(f"job.{name}" for name in _HEAD_NAMES)
#: From each session to its first open job. Left to themselves both databases may go other ways: SQLite walked all open
#: jobs of the tenant (CROSS JOIN keeps it from that); Postgres, while it had no statistics, looked for the first one
#: anew for each open job of the session (500 prompts/s instead of 1,700, with 100 waiting in each).
_heads = {
    "sqlite": Prepared(
        sa.text(
            f"SELECT {_HEAD_COLUMNS}"  # noqa: S608 - constants
            " FROM session CROSS JOIN job WHERE session.tenant = :tenant AND session.id IN :ids"
            " AND job.tenant = session.tenant AND job.session_id = session.id AND job.incarnation = session.incarnation"
            " AND job.state IN ('queued', 'running') AND job.seq = (SELECT next.seq FROM job AS next"
            " WHERE next.tenant = session.tenant AND next.session_id = session.id"
            " AND next.incarnation = session.incarnation AND next.state IN ('queued', 'running')"
            " ORDER BY next.seq LIMIT 1)"
        ).bindparams(sa.bindparam("ids", expanding=True))
    ),
    "postgresql": Prepared(
        sa.text(
            f"SELECT head.* FROM session CROSS JOIN LATERAL (SELECT {_HEAD_COLUMNS} FROM job"  # noqa: S608 - constants
            " WHERE job.tenant = session.tenant AND job.session_id = session.id"
            f" AND job.incarnation = session.incarnation AND job.{OPEN} ORDER BY job.seq LIMIT 1) AS head"
            " WHERE session.tenant = :tenant AND session.id IN :ids"
        ).bindparams(sa.bindparam("ids", expanding=True))
    ),
}

_insert_jobs = Inserts(job)
_insert_messages = Inserts(message)
_update_session = Prepared(session.update().where(_session_key), SESSION_CHANGING)
_update_queues = Updates(session, QUEUE_CHANGING)
_update_jobs = Updates(job, JOB_CHANGING)
_update_claims = Updates(job, CLAIM_CHANGING)
_stamp_jobs = Updates(job, ("ready_at", "rank"))
_mark_jobs = Updates(job, ("cancel_requested",))


def load_session(tx: Tx, tenant: str, session_id: str, *, lock: bool) -> Session:
    """Load a session, and hold it until the transaction ends if `lock`.

    Raises:
        SessionNotFound: there is none.
    """
    found = find_session(tx, tenant, session_id, lock=lock)
    if found is None:
        raise SessionNotFound(session_id)
    return found


def find_session(tx: Tx, tenant: str, session_id: str, *, lock: bool) -> Session | None:
    """Load a session, or None."""
    statement = _lock_session if lock else _select_session
    row = statement.first(tx, {"key_tenant": tenant, "key_id": session_id})
    return session_of(row) if row is not None else None


def lock_sessions(
    tx: Tx, names: Iterable[tuple[str, str]], *, skip_locked: bool = False
) -> dict[tuple[str, str], Session]:
    """Lock those of some (tenant, ID) that exist, in that order; skip those that others hold, if asked to."""
    statement = _lock_free_sessions if skip_locked else _lock_sessions
    found = {}
    for tenant, ids in by_tenant(names):
        for row in statement.all(tx, {"tenant": tenant, "ids": ids}):
            locked = session_of(row)
            found[tenant, locked.id] = locked
    return found


def by_tenant(names: Iterable[tuple[str, str]]) -> Iterable[tuple[str, Sequence[str]]]:
    """Group (tenant, ID) by tenant, each in order and without repeats, in portions that one statement takes."""
    groups: dict[str, set[str]] = {}
    for tenant, name in names:
        groups.setdefault(tenant, set()).add(name)
    for tenant in sorted(groups):
        ids = sorted(groups[tenant])
        for start in range(0, len(ids), CHUNK):
            yield tenant, ids[start : start + CHUNK]


def save_session(tx: Tx, value: Session) -> None:
    """Update the row of a session that is locked."""
    _update_session.run(tx, session_change(value))


def save_queues(tx: Tx, values: Collection[Session]) -> None:
    """Update of locked sessions what a change to their queues changes."""
    _update_queues.run(tx, [queue_change(value) for value in values])


def find_job(tx: Tx, tenant: str, job_id: str) -> Job | None:
    """Load a job, or None."""
    row = _select_job.first(tx, {"key_tenant": tenant, "key_id": job_id})
    return job_of(row) if row is not None else None


def find_free_job(tx: Tx, tenant: str, job_id: str) -> Job | None:
    """Load a job and hold its row, or return None if somebody holds that: its worker, who is renewing its lease."""
    row = _lock_free_job.first(tx, {"key_tenant": tenant, "key_id": job_id})
    return job_of(row) if row is not None else None


def load_jobs(tx: Tx, names: Iterable[tuple[str, str]]) -> dict[str, Job]:
    """Load those of some (tenant, job ID) that exist, by job ID."""
    found = {}
    for tenant, ids in by_tenant(names):
        for row in _select_jobs.all(tx, {"tenant": tenant, "ids": ids}):
            loaded = job_of(row)
            found[loaded.id] = loaded
    return found


def open_jobs(tx: Tx, of: Session) -> list[Job]:
    """Load all open jobs of a session, in order."""
    return [job_of(row) for row in _open_jobs.all(tx, _scope(of))]


def jobs_behind(tx: Tx, of: Session, seq: int) -> list[Job]:
    """Load the open jobs of a session that come after one."""
    return [job_of(row) for row in _jobs_behind.all(tx, {**_scope(of), "seq": seq})]


def find_head(tx: Tx, of: Session | Job) -> Job | None:
    """Load the open job of a session with the lowest sequence number."""
    row = _head.first(tx, _scope(of))
    return job_of(row) if row is not None else None


def insert_jobs(tx: Tx, values: Collection[Job]) -> None:
    """Insert new jobs."""
    _insert_jobs.run(tx, [job_row(value) for value in values])


def save_jobs(tx: Tx, values: Collection[Job]) -> None:
    """Update the rows of jobs whose sessions are locked, by tenant and ID.

    Leases are renewed without the session's lock: in the same order, so that nobody waits in a circle. Of a job that
    goes on running only a request to cancel is new; a lease that was renewed meanwhile must stay.
    """
    ordered = sorted(values, key=lambda value: (value.tenant, value.id))
    marks = [
        {"key_tenant": value.tenant, "key_id": value.id, "cancel_requested": str(value.cancel_requested)}
        for value in ordered
        if value.state is State.RUNNING
    ]
    changes = [job_change(value) for value in ordered if value.state is not State.RUNNING]
    _mark_jobs.run(tx, marks)
    _update_jobs.run(tx, changes)


def save_claims(tx: Tx, values: Collection[Job]) -> None:
    """Update the rows of jobs that have been claimed.

    An update costs what it names: SQLite writes the entries of every index over a named column anew.
    """
    _update_claims.run(tx, [claim_change(value) for value in values])


def save_change(tx: Tx, change: Change) -> None:
    """Write one decision on what is there: the session's queue, its changed jobs, the new messages."""
    save_queues(tx, (change.session,))
    save_jobs(tx, change.jobs)
    insert_messages(tx, change.messages)
    note_ends(tx, change.jobs, change.messages)


def insert_messages(tx: Tx, values: Collection[Message]) -> None:
    """Insert new messages."""
    _insert_messages.run(tx, [message_row(value) for value in values])


def stamp_heads(tx: Tx, sessions: Collection[Session], now: Millis) -> int:
    """Stamp the head of each of these locked sessions, where it has none or another is due. Returns how many changed.

    Every change to a queue ends with this.
    """
    busy = [(value.tenant, value.id) for value in sessions if value.open_total]
    if not busy:
        return 0
    by_name = {(value.tenant, value.id): value for value in sessions}
    stamps = []
    for tenant, ids in by_tenant(busy):
        for row in _heads[tx.connection.dialect.name].all(tx, {"tenant": tenant, "ids": ids}):
            head = Job.revive(dict(zip(_HEAD_NAMES, row, strict=True)))  # of which no more is looked at
            stamped = lifecycle.stamp(by_name[head.tenant, head.session_id], head, now)
            if stamped is not head:
                stamps.append(stamped)
    _stamp_jobs.run(
        tx, [{"key_tenant": v.tenant, "key_id": v.id, "ready_at": v.ready_at, "rank": v.rank} for v in stamps]
    )
    return len(stamps)


def _scope(of: Session | Job) -> dict[str, object]:
    session_id = of.id if isinstance(of, Session) else of.session_id
    return {"tenant": of.tenant, "session_id": session_id, "incarnation": of.incarnation}
