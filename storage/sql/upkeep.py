"""What one worker at a time does for all: mend what time has broken, and remove what is past retention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from domain import lifecycle
from domain.clock import Millis
from domain.ids import is_hidden
from domain.jobs import Job
from domain.sessions import Session
from storage.sql import one_offs, queue
from storage.sql.ending import apply
from storage.sql.rows import JOB_COLUMNS, job_of
from storage.sql.schema import OPEN, QUEUED, RUNNING, STAMPED, job, message
from storage.sql.transactions import Tx

_lapsed = (
    sa.select(*JOB_COLUMNS)
    .where(sa.text(RUNNING), job.c.lease_until <= sa.bindparam("now"))
    .order_by(job.c.lease_until)
    .limit(sa.bindparam("most"))
)
_overdue = (
    sa.select(*JOB_COLUMNS)
    .where(sa.text(f"{QUEUED} AND expires_at IS NOT NULL"), job.c.expires_at <= sa.bindparam("now"), job.c.attempt == 0)
    .order_by(job.c.expires_at)
    .limit(sa.bindparam("most"))
)
#: The next open jobs after a place in the order of `job_open`, each with whether its session has a stamped head.
_open_after = sa.text(
    "SELECT tenant, session_id, incarnation, seq, EXISTS (SELECT 1 FROM job AS head"  # noqa: S608 - constants
    " WHERE head.tenant = job.tenant AND head.session_id = job.session_id AND head.incarnation = job.incarnation"
    f" AND head.{STAMPED}) AS stamped FROM job WHERE {OPEN}"
    " AND (tenant, session_id, incarnation, seq) > (:tenant, :session_id, :incarnation, :seq)"
    " ORDER BY tenant, session_id, incarnation, seq LIMIT :most"
)
_old = sa.select(*JOB_COLUMNS).where(sa.text("ended IS NOT NULL"), job.c.ended <= sa.bindparam("before"))
_keep_state = (
    message.update()
    .where(
        message.c.tenant == sa.bindparam("of_tenant"),
        message.c.session_id == sa.bindparam("of_session"),
        message.c.incarnation == sa.bindparam("of_incarnation"),
        message.c.seq == sa.bindparam("of_seq"),
        message.c.role == 0,
    )
    .values(job_state=sa.bindparam("state"))
)
_delete_job = job.delete().where(job.c.tenant == sa.bindparam("of_tenant"), job.c.id == sa.bindparam("of_job"))
_take_duty = sa.text(
    "INSERT INTO duty (name, worker, until) VALUES (:name, :worker, :until)"
    " ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, until = excluded.until"
    " WHERE duty.worker = excluded.worker OR duty.until <= :now"
)

#: Tables that Postgres has never looked through, though there is something to see.
_never_seen = sa.text(
    "SELECT relname, pg_relation_size(oid) >= :enough FROM pg_class WHERE reltuples < 0"
    " AND oid IN (to_regclass('session'), to_regclass('message'), to_regclass('job'))"
)

ENOUGH_TO_LEARN = 64 * 1024
"""Bytes of a table: some hundred rows. From one row Postgres would learn that each tenant has one session."""

Place = tuple[str, str, int, int]
START: Place = ("", "", 0, 0)


@dataclass
class Patrol:
    """Where the look for sessions without a stamped head has come to: it goes round all open jobs in portions."""

    place: Place = START
    #: Whether the database knows how its rows are spread.
    has_learned: bool = False


def hold(tx: Tx, name: str, worker: str, *, lease_ms: Millis) -> bool:
    """Take or keep a duty. See `Store.hold`."""
    now = tx.now()
    values = {"name": name, "worker": worker, "until": now + lease_ms, "now": now}
    return tx.execute(_take_duty, values).rowcount == 1


def lose_lapsed(tx: Tx, limit: int, jitter: Callable[[], float]) -> tuple[list[tuple[Job, Job]], list[Job]]:
    """End attempts whose lease ran out. Returns (before, after) of each, and the jobs cancelled behind them."""
    lost: list[tuple[Job, Job]] = []
    ended: list[Job] = []
    lapsed = [job_of(row) for row in tx.execute(_lapsed, {"now": tx.now(), "most": limit}).all()]
    for found in lapsed:
        of = _hold_session(tx, found)
        if of is None:
            continue
        now = tx.now()
        current = queue.find_free_job(tx, found.tenant, found.id)
        # Renewed or finished between the look and the lock.
        if current is None or not lifecycle.holds(current, found.attempt) or (current.lease_until or 0) > now:
            continue
        change = lifecycle.lose(of, current, now, jitter=jitter())
        lost.append((current, change.jobs[0]))
        ended += (each for each in apply(tx, change, now) if each.id != found.id)
    return lost, ended


def expire_overdue(tx: Tx, limit: int) -> list[Job]:
    """End jobs that missed their `expiresAt`. Returns them and those cancelled behind them."""
    ended: list[Job] = []
    overdue = [job_of(row) for row in tx.execute(_overdue, {"now": tx.now(), "most": limit}).all()]
    for found in overdue:
        of = _hold_session(tx, found)
        if of is None:
            continue
        now = tx.now()
        current = queue.find_job(tx, found.tenant, found.id)
        if current is not None and lifecycle.is_overdue(current, now):
            ended += apply(tx, lifecycle.expire(of, current, now), now)
    return ended


def stamp_missing(tx: Tx, place: Place, limit: int) -> tuple[int, Place]:
    """Stamp the heads of sessions that have none, among the next open jobs. Returns how many, and the place reached."""
    scope = dict(zip(("tenant", "session_id", "incarnation", "seq"), place, strict=True))
    rows = tx.execute(_open_after, {**scope, "most": limit}).all()
    unstamped = {(row.tenant, row.session_id) for row in rows if not row.stamped}
    stamped = 0
    if unstamped:
        sessions = queue.lock_sessions(tx, unstamped, skip_locked=True)
        stamped = queue.stamp_heads(tx, sessions.values(), tx.now())
    if len(rows) < limit:
        return stamped, START
    last = rows[-1]
    return stamped, (last.tenant, last.session_id, last.incarnation, last.seq)


def learn(tx: Tx) -> bool:
    """Have Postgres learn how the rows are spread, once. Returns whether there is nothing left to learn.

    Its own look comes within a minute. Until then it takes a tenant for one of two hundred, and reads all of a tenant's
    sessions where it could have gone to sixty by their names.
    """
    if tx.connection.dialect.name != "postgresql":
        return True
    unseen = tx.execute(_never_seen, {"enough": ENOUGH_TO_LEARN}).all()
    for name, is_enough in unseen:
        if is_enough:
            tx.execute(sa.text(f"ANALYZE {name}"))
    return all(is_enough for _, is_enough in unseen)


def prune(tx: Tx, *, older_than_ms: Millis, limit: int) -> int:
    """Remove old job records. See `Store.prune`."""
    statement = _old.order_by(job.c.ended).limit(limit).with_for_update(skip_locked=True)
    old = [job_of(row) for row in tx.execute(statement, {"before": tx.now() - older_than_ms}).all()]
    if not old:
        return 0
    tx.execute(
        _keep_state,
        [
            {
                "of_tenant": each.tenant,
                "of_session": each.session_id,
                "of_incarnation": each.incarnation,
                "of_seq": each.seq,
                "state": each.state.value,
            }
            for each in old
        ],
    )
    one_offs.remove(tx, [(each.tenant, each.session_id) for each in old if is_hidden(each.session_id)])
    tx.execute(_delete_job, [{"of_tenant": each.tenant, "of_job": each.id} for each in old])
    return len(old)


def _hold_session(tx: Tx, of: Job) -> Session | None:
    """Lock a job's session, or return None if somebody else holds it: a frozen process must not stop the upkeep."""
    locked = queue.lock_sessions(tx, [(of.tenant, of.session_id)], skip_locked=True)
    found = locked.get((of.tenant, of.session_id))
    return found if found is not None and found.incarnation == of.incarnation else None
