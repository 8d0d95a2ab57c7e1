"""What one worker at a time does for all ephemeral sessions: mend what time has broken."""

from __future__ import annotations

from collections.abc import Callable

from domain import lifecycle
from domain.clock import Millis
from domain.jobs import Job
from storage.documents import job_of
from storage.ephemeral.changes import apply
from storage.ephemeral.exchange import forget
from storage.ephemeral.keys import named
from storage.ephemeral.snapshots import Name, Snapshot, Snapshots

HOLD = """
-- KEYS: the duty. ARGV: who wants it, the time, for how long (ms).
local holder = redis.call('HMGET', KEYS[1], 'worker', 'until')
if holder[1] and holder[1] ~= ARGV[1] and tonumber(holder[2]) > tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], 'worker', ARGV[1], 'until', ARGV[2] + ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""


def hold(snapshots: Snapshots, name: str, worker: str, lease_ms: Millis) -> bool:
    """Take or keep a duty. See `Store.hold`."""
    key, now = snapshots.keys.duty(name), snapshots.now()
    return bool(snapshots.client.eval(HOLD, 1, key, worker, now, lease_ms))


def lose_lapsed(
    snapshots: Snapshots, limit: int, jitter: Callable[[], float]
) -> tuple[list[tuple[Job, Job]], list[Job]]:
    """End attempts whose lease ran out. Returns (before, after) of each, and the jobs cancelled behind them."""
    lost: list[tuple[Job, Job]] = []
    ended: list[Job] = []
    for member in _due(snapshots, snapshots.keys.running, limit):
        tenant, session_id, job_id, _ = named(member)

        def lose(snapshot: Snapshot, job_id: str = job_id) -> tuple[Job, Job, tuple[Job, ...]] | None:
            job = snapshot.job(job_id) if snapshot.session is not None else None
            if snapshot.session is None or job is None or not lifecycle.holds(job, job.attempt):
                return None
            if (job.lease_until or 0) > snapshot.now:
                return None
            change = lifecycle.lose(snapshot.session, job, snapshot.now, jitter=jitter())
            after = change.jobs[0]
            more = apply(snapshot, change)
            return job, after, tuple(each for each in more if each.id != job_id)

        outcome = snapshots.change((tenant, session_id), lose)
        if outcome is None:
            forget_if_gone(snapshots, member)
            continue
        before, after, more = outcome
        lost.append((before, after))
        ended += more
    return lost, ended


def expire_overdue(snapshots: Snapshots, limit: int) -> list[Job]:
    """End jobs that missed their `expiresAt`. Returns them and those cancelled behind them."""
    ended: list[Job] = []
    for member in _due(snapshots, snapshots.keys.expiring, limit):
        tenant, session_id, job_id, _ = named(member)

        def expire(snapshot: Snapshot, job_id: str = job_id) -> tuple[Job, ...] | None:
            job = snapshot.job(job_id) if snapshot.session is not None else None
            if snapshot.session is None or job is None or not lifecycle.is_overdue(job, snapshot.now):
                return None
            return apply(snapshot, lifecycle.expire(snapshot.session, job, snapshot.now))

        outcome = snapshots.change((tenant, session_id), expire)
        if outcome is None:
            forget_if_gone(snapshots, member)
        else:
            ended += outcome
    return ended


def _due(snapshots: Snapshots, key: str, limit: int) -> list[str]:
    found = snapshots.client.zrangebyscore(key, "-inf", snapshots.now(), 0, limit)
    return [member.decode() for member in found]


def forget_if_gone(snapshots: Snapshots, member: str) -> None:
    """Remove the index entries of a job that is no more, or of a session that has expired."""
    tenant, session_id, job_id, _ = named(member)
    if not snapshots.client.hexists(snapshots.keys.session(tenant, session_id), f"j:{job_id}"):
        forget(snapshots, member)


def holders(snapshots: Snapshots) -> frozenset[str]:
    """Return the workers that hold leases. See `Store.holders`."""
    found = (job.worker for _, job in _running(snapshots))
    return frozenset(worker for worker in found if worker is not None)


def end_leases(snapshots: Snapshots, worker: str) -> int:
    """Have a worker's leases run out now. See `Store.end_leases`."""
    ended = 0
    for name, found in _running(snapshots):

        def end(snapshot: Snapshot, found: Job = found) -> int:
            job = snapshot.job(found.id) if snapshot.session is not None else None
            if job is None or job.worker != worker or not lifecycle.holds(job, found.attempt):
                return 0
            snapshot.put(job.evolve(lease_until=snapshot.now))
            return 1

        if found.worker == worker:
            ended += snapshots.change(name, end)
    return ended


def _running(snapshots: Snapshots) -> list[tuple[Name, Job]]:
    """Read all running jobs, each with its session's name."""
    entries = [named(member.decode()) for member in snapshots.client.zrange(snapshots.keys.running, 0, -1)]
    if not entries:
        return []
    with snapshots.client.pipeline(transaction=False) as pipeline:
        for tenant, session_id, job_id, _ in entries:
            pipeline.hget(snapshots.keys.session(tenant, session_id), f"j:{job_id}")
        documents = pipeline.execute()
    found = zip(entries, documents, strict=True)
    return [((entry[0], entry[1]), job_of(document)) for entry, document in found if document]
