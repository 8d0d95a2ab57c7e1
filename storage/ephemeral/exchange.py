"""What a worker does with ephemeral sessions: hand in what is done, take what is next, keep its leases.

Each session is committed by itself, all in one journey. One that somebody else has changed meanwhile is decided again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from domain import lifecycle
from domain.clock import Millis
from domain.ids import tag_of
from domain.jobs import Claimed, Finished, Job
from domain.sessions import PRIORITIES
from storage.base import Beat, Head
from storage.documents import job_of, message_of
from storage.ephemeral.changes import apply, stop_behind
from storage.ephemeral.keys import Keys, named
from storage.ephemeral.snapshots import MOST_TRIES, Name, Snapshot, Snapshots

Held = Collection[tuple[str, str, int]]


def finish(
    snapshots: Snapshots, finished: Sequence[Finished], jitter: Callable[[], float]
) -> tuple[list[Job], list[Finished], list[Job]]:
    """Take ends. Returns the jobs as they are now, the ends that were fenced, and the jobs cancelled behind them."""
    taken: list[Job] = []
    fenced: list[Finished] = []
    ended: list[Job] = []
    waiting: dict[Name, list[Finished]] = {}
    for each in finished:
        waiting.setdefault((each.tenant, each.session_id), []).append(each)
    for _ in range(MOST_TRIES):
        if not waiting:
            break
        loaded = snapshots.load_all({name: [each.job_id for each in ends] for name, ends in waiting.items()})
        decided = {name: _finish_one(loaded[name], ends, jitter) for name, ends in waiting.items()}
        changed = [name for name in waiting if loaded[name].is_changed]
        written = dict(zip(changed, snapshots.commit([loaded[name] for name in changed]), strict=True))
        for name, (jobs, lost, more) in decided.items():
            if written.get(name, True):
                taken += jobs
                fenced += lost
                ended += more
                del waiting[name]
    return taken, fenced, ended


def _finish_one(
    snapshot: Snapshot, ends: Sequence[Finished], jitter: Callable[[], float]
) -> tuple[list[Job], list[Finished], list[Job]]:
    taken: list[Job] = []
    fenced: list[Finished] = []
    ended: list[Job] = []
    for each in ends:
        session, job = snapshot.session, None
        if session is not None and session.incarnation == each.incarnation:
            job = snapshot.job(each.job_id)
        change = lifecycle.finish(session, job, each, snapshot.now, jitter=jitter()) if session and job else None
        if change is None:
            fenced.append(each)
            continue
        change = stop_behind(snapshot, change)
        snapshot.apply(change)
        taken.append(change.jobs[0])
        ended += (more for more in change.jobs[1:] if not more.state.is_open)
    return taken, fenced, ended


def ready(snapshots: Snapshots, slots: int, suspects: int) -> list[Head]:
    """List the ready heads that are next, the most urgent first."""
    if not _has_waiting(snapshots):
        return []
    keys, now = snapshots.keys, snapshots.now()
    kinds = [(False, slots), (True, min(slots, suspects))]
    with snapshots.client.pipeline(transaction=False) as pipeline:
        for suspect, most in kinds:
            for rank in range(PRIORITIES - 1, -1, -1):
                pipeline.zrangebyscore(keys.ready(suspect, rank), "-inf", now, 0, max(most, 0), withscores=True)
        answers = iter(pipeline.execute())
    found: list[Head] = []
    for suspect, most in kinds:
        of_kind: list[Head] = []
        for rank in range(PRIORITIES - 1, -1, -1):
            of_kind += [Head(rank, int(score), suspect, member.decode()) for member, score in next(answers)]
        found += of_kind[: max(most, 0)]
    return sorted(found, key=Head.order)[:slots]


def claim(
    snapshots: Snapshots, worker: str, heads: Sequence[Head], lease_ms: Millis
) -> tuple[list[Claimed], list[Job]]:
    """Claim these heads where they are still free. Returns the attempts, and the jobs found overdue and ended."""
    wanted: dict[Name, list[str]] = {}
    members: dict[Name, tuple[str, int]] = {}
    for head in heads:
        tenant, session_id, job_id, seq = named(head.name)
        wanted[tenant, session_id] = [job_id]
        members[tenant, session_id] = (head.name, seq)
    if not wanted:
        return [], []
    loaded = snapshots.load_all(dict(wanted))
    begun: dict[Name, Job] = {}
    overdue: dict[Name, tuple[Job, ...]] = {}
    for name, snapshot in loaded.items():
        job = snapshot.job(wanted[name][0])
        if snapshot.session is None or job is None:
            forget(snapshots, members[name][0])
        elif lifecycle.is_overdue(job, snapshot.now):
            overdue[name] = apply(snapshot, lifecycle.expire(snapshot.session, job, snapshot.now))
        elif lifecycle.is_claimable(job, snapshot.now):
            begun[name] = lifecycle.claim(job, worker, snapshot.now, lease_ms=lease_ms)
            snapshot.put(begun[name])
    changed = [name for name in wanted if loaded[name].is_changed]
    written = dict(zip(changed, snapshots.commit([loaded[name] for name in changed]), strict=True))
    ended = [job for name, jobs in overdue.items() if written[name] for job in jobs]
    mine = [name for name in begun if written[name]]
    prompts = _prompts(snapshots, [(name, members[name][1]) for name in mine])
    return [
        Claimed(begun[name], message_of(prompt), loaded[name].current)
        for name, prompt in zip(mine, prompts, strict=True)
        if prompt is not None
    ], ended


def _prompts(snapshots: Snapshots, places: Sequence[tuple[Name, int]]) -> list[bytes | None]:
    if not places:
        return []
    with snapshots.client.pipeline(transaction=False) as pipeline:
        for name, seq in places:
            pipeline.hget(snapshots.keys.session(*name), f"m:{seq}:0")
        found: list[bytes | None] = pipeline.execute()
    return found


def forget(snapshots: Snapshots, member: str) -> None:
    """Remove what the indexes say of a session that is gone."""
    keys, client = snapshots.keys, snapshots.client
    with client.pipeline(transaction=False) as pipeline:
        for key in _indexes(keys, named(member)[0]):
            pipeline.zrem(key, member)
        pipeline.execute()


def _indexes(keys: Keys, tenant: str) -> list[str]:
    return [keys.running, keys.expiring, keys.open_of(tenant), *_ranks(keys)]


def _ranks(keys: Keys) -> list[str]:
    return [keys.ready(suspect, rank) for suspect in (False, True) for rank in range(PRIORITIES)]


def _has_waiting(snapshots: Snapshots) -> bool:
    """Tell whether any head waits. Where all sessions are durable this is all that is asked.

    Forty questions at each exchange were a third of what a worker did for a single durable prompt.
    """
    return bool(snapshots.client.exists(*_ranks(snapshots.keys)))


def next_ready(snapshots: Snapshots, now: Millis | None = None) -> Millis | None:
    """Return when the next head that still waits at `now` (or now) becomes ready."""
    if not _has_waiting(snapshots):
        return None
    keys = snapshots.keys
    now = snapshots.now() if now is None else now
    with snapshots.client.pipeline(transaction=False) as pipeline:
        for suspect in (False, True):
            for rank in range(PRIORITIES):
                pipeline.zrangebyscore(keys.ready(suspect, rank), f"({now}", "+inf", 0, 1, withscores=True)
        return min((int(score) for found in pipeline.execute() for _, score in found), default=None)


def renew(snapshots: Snapshots, worker: str, held: Held, lease_ms: Millis) -> Beat:
    """Extend leases. See `Store.renew`."""
    lost: set[str] = set()
    cancelled: set[str] = set()
    waiting = {(tenant, job_id): attempt for tenant, job_id, attempt in held}
    for _ in range(MOST_TRIES):
        if not waiting:
            break
        places = where(snapshots, waiting)
        lost |= {job_id for _, job_id in waiting.keys() - places.keys()}
        wanted: dict[Name, list[str]] = {}
        for (_, job_id), place in places.items():
            wanted.setdefault(place, []).append(job_id)
        loaded = snapshots.load_all(dict(wanted)) if wanted else {}
        for name, snapshot in loaded.items():
            attempts = {job_id: waiting[name[0], job_id] for job_id in wanted[name]}
            beat = _renew_one(snapshot, worker, attempts, lease_ms)
            lost |= beat.lost
            cancelled |= beat.cancelled
        changed = [name for name, snapshot in loaded.items() if snapshot.is_changed]
        written = snapshots.commit([loaded[name] for name in changed])
        missed = [name for name, done in zip(changed, written, strict=True) if not done]
        waiting = {(name[0], job_id): waiting[name[0], job_id] for name in missed for job_id in wanted[name]}
    return Beat(frozenset(lost), frozenset(cancelled - lost))


def _renew_one(snapshot: Snapshot, worker: str, attempts: dict[str, int], lease_ms: Millis) -> Beat:
    lost: set[str] = set()
    cancelled: set[str] = set()
    for job_id, attempt in attempts.items():
        job = snapshot.job(job_id)
        if job is None or not lifecycle.holds(job, attempt) or job.worker != worker:
            lost.add(job_id)
            continue
        if job.cancel_requested is not None:
            cancelled.add(job_id)
        snapshot.put(job.evolve(lease_until=snapshot.now + lease_ms, renewed=snapshot.now))
    return Beat(frozenset(lost), frozenset(cancelled))


def look(snapshots: Snapshots, worker: str, held: Held) -> Beat:
    """Ask which attempts are lost or cancelled. See `Store.look`."""
    places = where(snapshots, {(tenant, job_id): 0 for tenant, job_id, _ in held})
    asked = [
        (job_id, attempt, places[tenant, job_id]) for tenant, job_id, attempt in held if (tenant, job_id) in places
    ]
    lost = {job_id for tenant, job_id, _ in held if (tenant, job_id) not in places}
    cancelled = set()
    with snapshots.client.pipeline(transaction=False) as pipeline:
        for job_id, _, name in asked:
            pipeline.hget(snapshots.keys.session(*name), f"j:{job_id}")
        documents = pipeline.execute() if asked else []
    for (job_id, attempt, _), document in zip(asked, documents, strict=True):
        job = job_of(document) if document else None
        if job is None or not lifecycle.holds(job, attempt) or job.worker != worker:
            lost.add(job_id)
        elif job.cancel_requested is not None:
            cancelled.add(job_id)
    return Beat(frozenset(lost), frozenset(cancelled))


def where(snapshots: Snapshots, names: Collection[tuple[str, str]]) -> dict[tuple[str, str], Name]:
    """Find the sessions of jobs, by the tags in their IDs; jobs of another tenant's sessions are not found."""
    listed = list(names)
    if not listed:
        return {}
    places = snapshots.client.mget([snapshots.keys.at(tag_of(job_id)) for _, job_id in listed])
    found = {}
    for (tenant, job_id), place in zip(listed, places, strict=True):
        if place is not None:
            owner, session_id = place.decode().split("\x1f")
            if owner == tenant:
                found[tenant, job_id] = (owner, session_id)
    return found
