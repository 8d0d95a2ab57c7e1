"""What a worker does with the store: hand in what is done, take what is next, keep its leases.

One transaction finishes and claims: at sixty jobs a time the sync to disk, the locks and the statements cost each a
sixtieth of what they cost one message by one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import sqlalchemy as sa

from domain import lifecycle
from domain.clock import Millis
from domain.jobs import Claimed, Finished, Job
from domain.messages import Message
from domain.sessions import PRIORITIES, Session
from storage.base import Beat, Exchange, Head
from storage.sql import one_offs, queue
from storage.sql.batches.outcomes import note_ends
from storage.sql.ending import stop_behind
from storage.sql.prepared import Prepared
from storage.sql.rows import JOB_COLUMNS, MESSAGE_COLUMNS, job_of, message_of
from storage.sql.schema import READY, RUNNING, job
from storage.sql.transactions import Tx

MOST_LOOKS = 4
"""How often one exchange looks for heads while what it finds is overdue or held by others."""

_RANKS = ", ".join(f"({rank})" for rank in range(PRIORITIES - 1, -1, -1))
_ready_kinds = Prepared(
    sa.text(
        # Not EXISTS: Postgres makes a join of that, and may read all ready heads for it.
        "SELECT kinds.column1, ranks.column1"  # noqa: S608 - constants
        f" FROM (VALUES (0), (1)) AS kinds, (VALUES {_RANKS}) AS ranks WHERE (SELECT 1 FROM job"
        f" WHERE {READY} AND suspect = kinds.column1 AND rank = ranks.column1 AND ready_at <= :now LIMIT 1) IS NOT NULL"
    )
)
_next_ready = Prepared(
    sa.text(
        "SELECT min(at) FROM (SELECT (SELECT ready_at FROM job"  # noqa: S608 - constants
        f" WHERE {READY} AND suspect = kinds.column1 AND rank = ranks.column1 AND ready_at > :now"
        " ORDER BY ready_at LIMIT 1) AS at"
        f" FROM (VALUES {_RANKS}) AS ranks, (VALUES (0), (1)) AS kinds) AS nexts"
    )
)
_heads_of_rank = (
    sa.select(*JOB_COLUMNS)
    .where(
        sa.text(READY),
        job.c.suspect == sa.bindparam("suspect"),
        job.c.rank == sa.bindparam("rank"),
        job.c.ready_at <= sa.bindparam("now"),
    )
    .order_by(job.c.ready_at)
    .limit(sa.bindparam("most"))
)
_peek = Prepared(_heads_of_rank)
_ready = Prepared(_heads_of_rank.with_for_update(skip_locked=True))
_PROMPT = (
    "SELECT {} FROM message WHERE message.tenant = job.tenant AND message.session_id = job.session_id"
    " AND message.incarnation = job.incarnation AND message.seq = job.seq AND message.role = 0"
    # Says the same again: whichever of its two unique indexes Postgres takes, every column of it is bound.
    " AND message.id = job.message_id LIMIT 1"
)
_PROMPT_COLUMNS = ", ".join(f"message.{column.name}" for column in MESSAGE_COLUMNS)
#: From each job to its prompt: see `storage.sql.queue` on the order.
_prompts = {
    "sqlite": Prepared(
        sa.text(
            f"SELECT {_PROMPT_COLUMNS} FROM job CROSS JOIN message"  # noqa: S608 - constants
            " WHERE job.tenant = :tenant AND job.id IN :ids AND message.tenant = job.tenant"
            " AND message.session_id = job.session_id AND message.incarnation = job.incarnation"
            " AND message.seq = job.seq AND message.role = 0"
        ).bindparams(sa.bindparam("ids", expanding=True))
    ),
    "postgresql": Prepared(
        sa.text(
            f"SELECT prompt.* FROM job CROSS JOIN LATERAL ({_PROMPT.format(_PROMPT_COLUMNS)}) AS prompt"  # noqa: S608
            " WHERE job.tenant = :tenant AND job.id IN :ids"
        ).bindparams(sa.bindparam("ids", expanding=True))
    ),
}
_held = (
    (job.c.tenant == sa.bindparam("tenant_is"))
    # The key finds the rows; the number keeps an attempt that is over from renewing the one after it.
    & job.c.id.in_(sa.bindparam("ids", expanding=True))
    & sa.tuple_(job.c.id, job.c.attempt).in_(sa.bindparam("attempts", expanding=True))
    & (job.c.worker == sa.bindparam("worker_is"))
    & sa.text(RUNNING)
)
#: Locked in the order in which `queue.save_jobs` writes.
_held_in_order = sa.select(job.c.id).where(_held).order_by(job.c.id).with_for_update().correlate(None)
_renew = (
    job.update()
    .where(job.c.tenant == sa.bindparam("tenant_is"), job.c.id.in_(_held_in_order))
    .values(lease_until=sa.bindparam("until"), renewed=sa.bindparam("at"))
    .returning(job.c.id, job.c.cancel_requested)
)
_look = sa.select(job.c.id, job.c.cancel_requested).where(_held)


def exchange(
    tx: Tx,
    worker: str,
    finished: Sequence[Finished],
    *,
    slots: int,
    lease_ms: Millis,
    suspects: int,
    jitter: Callable[[], float],
) -> Exchange:
    """Take what a worker has done and give it what to do next. See `Store.exchange`."""
    taken: list[Job] = []
    fenced: list[Finished] = []
    ended: list[Job] = []
    locked = _finish(tx, finished, taken, fenced, ended, jitter) if finished else {}
    claimed: list[Claimed] = []
    next_ready = None
    now = tx.now()
    if slots > 0:
        claimed = _claim(tx, worker, slots, lease_ms, suspects, now, ended, locked)
        if len(claimed) < slots:
            next_ready = _next_ready.all(tx, {"now": now})[0][0]
    return Exchange(tuple(taken), tuple(fenced), tuple(ended), tuple(claimed), next_ready=next_ready, now=now)


def _finish(  # noqa: PLR0917 - one step of `exchange`, which owns the lists
    tx: Tx,
    finished: Sequence[Finished],
    taken: list[Job],
    fenced: list[Finished],
    ended: list[Job],
    jitter: Callable[[], float],
) -> dict[tuple[str, str], Session]:
    """Take the ends. Returns the sessions that are locked by it, as they are now."""
    sessions = queue.lock_sessions(tx, ((each.tenant, each.session_id) for each in finished))
    jobs = queue.load_jobs(tx, ((each.tenant, each.job_id) for each in finished))
    now = tx.now()
    changed: dict[str, Job] = {}
    messages: list[Message] = []
    touched: dict[tuple[str, str], Session] = {}
    for each in finished:
        name = each.tenant, each.session_id
        of, current = sessions.get(name), jobs.get(each.job_id)
        if of is None or current is None or of.incarnation != each.incarnation:
            fenced.append(each)
            continue
        change = lifecycle.finish(of, current, each, now, jitter=jitter())
        if change is None:
            fenced.append(each)
            continue
        main = change.jobs[0]
        if lifecycle.stops_session(change.session, main):
            change = stop_behind(tx, change, now)
            ended += (more for more in change.jobs[1:] if not more.state.is_open)
        taken.append(main)
        for after in change.jobs:
            changed[after.id] = jobs[after.id] = after
        messages += change.messages
        sessions[name] = touched[name] = change.session
    queue.save_jobs(tx, changed.values())
    note_ends(tx, changed.values(), messages)
    gone = {(job.tenant, job.session_id) for job in changed.values() if one_offs.leaves_nothing(job)}
    queue.insert_messages(tx, [each for each in messages if (each.tenant, each.session_id) not in gone])
    staying = [of for name, of in touched.items() if name not in gone]
    queue.save_queues(tx, staying)
    queue.stamp_heads(tx, staying, now)
    one_offs.settle(tx, changed.values())
    return sessions


def _claim(  # noqa: PLR0917 - one step of `exchange`
    tx: Tx,
    worker: str,
    slots: int,
    lease_ms: Millis,
    suspects: int,
    now: Millis,
    ended: list[Job],
    sessions: dict[tuple[str, str], Session],
) -> list[Claimed]:
    """Fill the slots. Heads that turn out overdue, or held by others, cost nobody else the slot: it looks again.

    `sessions` are those that this transaction has locked already.
    """
    begun: list[Job] = []
    passed: set[str] = set()
    for _ in range(MOST_LOOKS):
        found = _candidates(tx, slots - len(begun) + len(passed), suspects, now, _ready)
        fresh = [head for head in found if head.id not in passed][: slots - len(begun)]
        names = {(head.tenant, head.session_id) for head in fresh}
        sessions.update(queue.lock_sessions(tx, names - sessions.keys(), skip_locked=True))
        more: list[Job] = []
        again = False
        for head in fresh:
            of = sessions.get((head.tenant, head.session_id))
            if of is None or of.incarnation != head.incarnation:
                passed.add(head.id)
                again = True
            elif lifecycle.is_overdue(head, now):
                change = stop_behind(tx, lifecycle.expire(of, head, now), now)
                queue.save_change(tx, change)
                queue.stamp_heads(tx, (change.session,), now)
                one_offs.settle(tx, change.jobs)
                sessions[head.tenant, head.session_id] = change.session
                ended += (each for each in change.jobs if not each.state.is_open)
                again = True
            elif lifecycle.is_claimable(head, now):
                more.append(lifecycle.claim(head, worker, now, lease_ms=lease_ms))
                suspects -= head.is_suspect
        queue.save_claims(tx, more)
        begun += more
        if not again or len(begun) == slots:
            break
    prompts = {}
    for tenant, ids in queue.by_tenant((each.tenant, each.id) for each in begun):
        for row in _prompts[tx.connection.dialect.name].all(tx, {"tenant": tenant, "ids": ids}):
            prompt = message_of(row)
            prompts[prompt.job_id] = prompt
    return [Claimed(each, prompts[each.id], sessions[each.tenant, each.session_id]) for each in begun]


def _candidates(tx: Tx, slots: int, suspects: int, now: Millis, look: Prepared) -> list[Job]:
    """Find the ready heads that are next, the most urgent first, with at most so many suspects among them.

    One look a rank: in a single ordered scan the heads of a high rank that wait for a time would stand before all that
    are ready in a lower one.
    """
    found: list[Job] = []
    kinds = sorted(((suspect, rank) for suspect, rank in _ready_kinds.all(tx, {"now": now})), reverse=True)
    for only, most in ((0, slots), (1, min(slots, suspects))):
        missing = most
        for suspect, rank in kinds:
            if suspect != only or missing <= 0:
                continue
            scope = {"suspect": suspect, "rank": rank, "now": now, "most": missing}
            heads = [job_of(row) for row in look.all(tx, scope)]
            found += heads
            missing -= len(heads)
    found.sort(key=lambda head: (-head.rank, head.ready_at or 0))
    return found[:slots]


def ready_heads(tx: Tx, slots: int, suspects: int) -> list[Head]:
    """List the heads that are next. See `Store.ready_heads`."""
    heads = _candidates(tx, slots, suspects, tx.now(), _peek)
    return [Head(head.rank, head.ready_at or 0, head.is_suspect, head.id) for head in heads]


def next_ready(tx: Tx) -> Millis | None:
    """Return when the next waiting head becomes ready. See `Store.next_ready`."""
    at: Millis | None = _next_ready.all(tx, {"now": tx.now()})[0][0]
    return at


def renew(tx: Tx, worker: str, held: Collection[tuple[str, str, int]], *, lease_ms: Millis) -> Beat:
    """Extend leases. See `Store.renew`."""
    now = tx.now()
    return _beat(tx, _renew, worker, held, {"until": now + lease_ms, "at": now})


def look(tx: Tx, worker: str, held: Collection[tuple[str, str, int]]) -> Beat:
    """Ask which attempts are lost or cancelled. See `Store.look`."""
    return _beat(tx, _look, worker, held, {})


def _beat(
    tx: Tx,
    statement: sa.Executable,
    worker: str,
    held: Collection[tuple[str, str, int]],
    values: dict[str, Millis],
) -> Beat:
    attempts = {(tenant, job_id): attempt for tenant, job_id, attempt in held}
    cancelled = set()
    kept = set()
    for tenant, ids in queue.by_tenant(attempts):
        numbered = [(job_id, attempts[tenant, job_id]) for job_id in ids]
        scope = {"tenant_is": tenant, "ids": ids, "attempts": numbered, "worker_is": worker}
        for job_id, cancel_requested in tx.execute(statement, {**scope, **values}).all():
            kept.add(job_id)
            if cancel_requested is not None:
                cancelled.add(job_id)
    return Beat(frozenset(job_id for _, job_id in attempts if job_id not in kept), frozenset(cancelled))
