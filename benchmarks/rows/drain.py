"""How fast a backlog of prompts that cost nothing is drained, beside plain Celery's no-op tasks."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import sqlalchemy as sa

from benchmarks.figures import Line, Report, Sample, Scale, at_least, multiple
from benchmarks.filling import TEXT, Crowd, fill
from benchmarks.ground import Ground, Place
from benchmarks.plain.workers import PlainCelery
from benchmarks.watcher import Watcher
from tests.support.waiting import eventually

AIM = 3.0
SLOTS = 64
POOLS = (("prefork", 2), ("threads", 2), ("threads", 64))
"""Of plain Celery: how many tasks run at once in each of its pools."""


@dataclass(frozen=True)
class Size:
    prompts: int
    sessions: int
    #: No-op tasks, for plain Celery.
    tasks: int
    repeats: int
    pools: tuple[tuple[str, int], ...] = POOLS


SIZES = {
    Scale.FULL: Size(20_000, 100, 5_000, 5),
    Scale.QUICK: Size(10_000, 100, 2_000, 3),
    Scale.TINY: Size(100, 10, 20, 1, POOLS[:1]),
}


def measure(ground: Ground) -> Report:
    """Drain each shape on each database, then what plain Celery has instead."""
    size = SIZES[ground.scale]
    plain = _plain(ground, size)
    quiet = max((sample for name, sample in plain.items() if "without" in name), key=lambda sample: sample.median)
    lines = []
    for kind in ground.kinds:
        for sessions in (size.sessions, size.prompts):
            with ground.database(kind) as place:
                sample = Sample.of(_drains(place, size, sessions), "prompts/s")
            ratio = multiple(sample, quiet, "best no-op of plain Celery without events")
            shape = f"{sessions} sessions" if sessions < size.prompts else "all-different sessions"
            lines.append(Line(f"promptq, {place.name}, {shape}", sample, ratio, at_least(ratio, AIM)))
    lines += [Line(name, sample) for name, sample in plain.items()]
    notes = [
        (
            f"{size.prompts:,} prompts to echo, put into the database in one transaction before an idle worker"
            f" with {SLOTS} slots, then the bell; until the last end is committed. Each ends with its answer and"
            " a task event of each kind, which a watching process received and counted, all of them."
        ),
        (
            f"Plain Celery: {size.tasks:,} no-op tasks without results, put before an idle worker at once;"
            " until the last is taken by the pool. With events: the same watching process."
        ),
    ]
    return Report("drain", "no-op drain by one worker", lines, notes)


def _drains(place: Place, size: Size, sessions: int) -> list[float]:
    """Drain as many times as there are repeats, in one worker that has been warmed up; the rates."""
    rates = []
    watcher = Watcher("tasks.main:app", place.environment())
    with watcher, place.worker(slots=SLOTS):
        warm = Crowd(SLOTS, SLOTS, "warm")
        drain(place, warm)
        expected = warm.jobs
        for turn in range(size.repeats):
            place.ground.tell(f"draining {place.name}, {sessions} sessions, {turn + 1} of {size.repeats}")
            rates.append(size.prompts / drain(place, Crowd(size.prompts, sessions, f"drain{turn}")))
            expected += size.prompts
            _all_seen(watcher, expected)
    return rates


def drain(place: Place, crowd: Crowd, timeout_s: float = 120) -> float:
    """Put prompts before a worker that waits; return how many seconds passed until the last was answered.

    Raises:
        RuntimeError: not all of them succeeded.
    """
    began = fill(place, crowd, together=True)
    place.bell.ring()
    engine = sa.create_engine(place.url, isolation_level="AUTOCOMMIT", poolclass=sa.StaticPool)
    try:
        with engine.connect() as connection:
            if place.kind == "postgres":
                connection.execute(sa.text("SET enable_seqscan = off"))
            deadline = time.monotonic() + timeout_s
            while connection.execute(_IS_OPEN).scalar_one():
                if time.monotonic() > deadline:
                    raise RuntimeError(f"not drained within {timeout_s} s")
                time.sleep(0.1)
            succeeded, last = connection.execute(_ENDS, {"began": began}).one()
    finally:
        engine.dispose()
    if succeeded != crowd.jobs:
        raise RuntimeError(f"{succeeded} of {crowd.jobs} prompts succeeded")
    return float(last - began) / 1000


_IS_OPEN = sa.text(
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM job WHERE state = 'running') THEN 1"
    " WHEN EXISTS (SELECT 1 FROM job WHERE state = 'queued' AND ready_at IS NOT NULL) THEN 1 ELSE 0 END"
)
_ENDS = sa.text(
    "SELECT count(*), max(ended) FROM job WHERE ended IS NOT NULL AND ended >= :began AND state = 'succeeded'"
)


def _plain(ground: Ground, size: Size) -> dict[str, Sample]:
    with contextlib.closing(PlainCelery(ground)) as plain:
        found = {}
        for pool, slots in size.pools:
            for events in (False, True):
                name = f"plain Celery, {pool} {slots}, {'with' if events else 'without'} events"
                ground.tell(f"draining {name}")
                plain.flush()
                rates = []
                with contextlib.ExitStack() as stack:
                    watcher = stack.enter_context(plain.watcher()) if events else None
                    stack.enter_context(plain.worker(pool, slots, events=events))
                    plain.send("noop", (TEXT,), 50)
                    plain.taken_at(60)
                    for _ in range(size.repeats):
                        began = plain.send("noop", (TEXT,), size.tasks)
                        rates.append(size.tasks / (plain.taken_at(120) - began))
                    if watcher is not None:
                        _all_seen(watcher, 50 + size.repeats * size.tasks)
                found[name] = Sample.of(rates, "tasks/s")
        return found


def _all_seen(watcher: Watcher, expected: int) -> None:
    """Wait until a watcher has seen the end of every task.

    Raises:
        NeverHappenedError: it has not, within 30 s.
    """

    def seen() -> bool:
        found = watcher.seen()
        assert found.succeeded == expected, (found, expected)
        return True

    eventually(seen, 30, what="every end is seen as a task event")
