"""What a prompt in flight costs: a worker with a thousand of them, against itself with none."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from benchmarks.figures import Line, Report, Sample, Scale, below
from benchmarks.filling import Crowd, fill
from benchmarks.ground import DATABASE_NAMES, Ground, Place
from benchmarks.plain.workers import PlainCelery
from benchmarks.rows.drain import drain
from benchmarks.weighing import settled_kb
from tests.support.commands import Command
from tests.support.waiting import eventually

AIM_KB = 30.0


@dataclass(frozen=True)
class Size:
    prompts: int
    repeats: int
    #: How long a worker is left alone before it is weighed: it looks around, and at its leases, about every second.
    settle_s: float = 1.5


SIZES = {Scale.FULL: Size(1_000, 3), Scale.QUICK: Size(1_000, 1), Scale.TINY: Size(20, 1, 0.1)}

_LONG_S = 600.0
_WARM = 64


def measure(ground: Ground) -> Report:
    """Weigh a worker on each database, and one of plain Celery's."""
    size = SIZES[ground.scale]
    lines = []
    for kind in ground.kinds:
        ground.tell(f"weighing a worker on {kind}")
        sample = Sample.of([_promptq(ground, kind, size) for _ in range(size.repeats)], "KB")
        lines.append(Line(f"promptq, {DATABASE_NAMES[kind]}", sample, aim=below(sample, AIM_KB)))
    ground.tell("weighing a worker of plain Celery")
    sample = Sample.of([_plain(ground, size) for _ in range(size.repeats)], "KB")
    lines.append(Line(f"plain Celery, threads {size.prompts}", sample))
    notes = [
        (
            f"Resident memory of a fresh worker that runs {size.prompts:,} prompts of a minute and more, less"
            f" what it had after its first {_WARM}, for each of them."
        ),
    ]
    return Report("memory", "memory of a prompt in flight", lines, notes)


def _promptq(ground: Ground, kind: str, size: Size) -> float:
    with ground.database(kind) as place, _killed(place.worker(slots=size.prompts)) as worker:
        drain(place, Crowd(_WARM, _WARM, "warm"))
        before = settled_kb(worker, size.settle_s)
        fill(place, Crowd(size.prompts, size.prompts, "long", echo={"delay": _LONG_S}))
        place.bell.ring()
        eventually(lambda: _running(place) == size.prompts, 60, what="all prompts run")
        return (settled_kb(worker, size.settle_s) - before) / size.prompts


def _plain(ground: Ground, size: Size) -> float:
    with contextlib.closing(PlainCelery(ground)) as plain:
        plain.flush()
        with _killed(plain.worker("threads", size.prompts)) as worker:
            plain.send("wait", (0,), _WARM)
            plain.taken_at(60)
            before = settled_kb(worker, size.settle_s)
            plain.send("wait", (_LONG_S,), size.prompts)
            plain.taken_at(60)
            return (settled_kb(worker, size.settle_s) - before) / size.prompts


@contextlib.contextmanager
def _killed(worker: Command) -> Iterator[Command]:
    """A worker that need not finish what it runs."""
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()


def _running(place: Place) -> int:
    engine = sa.create_engine(place.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        count: int = connection.execute(sa.text("SELECT count(*) FROM job WHERE state = 'running'")).scalar_one()
    engine.dispose()
    return count
