"""Prompts of one second, many at once in one worker, as a model that thinks would have it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from benchmarks.figures import Line, Ratio, Report, Sample, Scale, at_most
from benchmarks.filling import Crowd
from benchmarks.ground import Ground
from benchmarks.plain.workers import PlainCelery
from benchmarks.rows.drain import drain
from tests.support.waiting import eventually

AIM = 1.15


@dataclass(frozen=True)
class Size:
    prompts: int
    slots: int
    seconds: float
    repeats: int

    @property
    def ideal_s(self) -> float:
        """How long it takes if nothing but the prompts takes time."""
        return self.prompts / self.slots * self.seconds


SIZES = {
    Scale.FULL: Size(2_000, 1_000, 1, 5),
    Scale.QUICK: Size(2_000, 1_000, 1, 3),
    Scale.TINY: Size(20, 10, 0.1, 1),
}


def measure(ground: Ground) -> Report:
    """Run the load on each database and in plain Celery's threads."""
    size = SIZES[ground.scale]
    lines = []
    for kind in ground.kinds:
        with ground.database(kind) as place, place.worker(slots=size.slots):
            drain(place, Crowd(size.slots, size.slots, "warm"))
            took = []
            for turn in range(size.repeats):
                ground.tell(f"{size.prompts} slow prompts on {place.name}, {turn + 1} of {size.repeats}")
                crowd = Crowd(size.prompts, size.prompts, f"slow{turn}", echo={"delay": size.seconds})
                took.append(drain(place, crowd))
        sample = Sample.of(took, "s")
        ratio = Ratio(sample.median / size.ideal_s, "ideal")
        lines.append(Line(f"promptq, {place.name}", sample, ratio, at_most(ratio, AIM)))
    lines.append(_plain(ground, size))
    notes = [
        (
            f"{size.prompts:,} prompts of {size.seconds:g} s, all put there at once, one worker with"
            f" {size.slots:,} slots; from then until the last end is committed. Ideal: {size.ideal_s:g} s."
        ),
        "Plain Celery: until the last `task-succeeded` is heard.",
    ]
    return Report("seconds", "prompts of one second in one worker", lines, notes)


def _plain(ground: Ground, size: Size) -> Line:
    ground.tell("slow tasks in plain Celery")
    took = []
    with contextlib.closing(PlainCelery(ground)) as plain:
        plain.flush()
        with plain.watcher() as watcher, plain.worker("threads", size.slots, events=True):
            expected = 0

            def is_done() -> bool:
                return watcher.seen().succeeded >= expected

            for seconds in (0, *[size.seconds] * size.repeats):
                expected += size.prompts
                began = plain.send("wait", (seconds,), size.prompts)
                eventually(is_done, 120, what="every task has ended")
                took.append(watcher.seen().last - began)
    sample = Sample.of(took[1:], "s")
    return Line(f"plain Celery, threads {size.slots}", sample, Ratio(sample.median / size.ideal_s, "ideal"))
