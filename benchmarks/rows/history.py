"""What admission and claim cost with few and with very many finished jobs in the database."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.figures import Line, Report, Sample, Scale, at_most, multiple
from benchmarks.filling import TENANT, Crowd, a_prompt, ended, fill, settle
from benchmarks.ground import Ground, Place
from domain.jobs import Finished

AIM = 1.3
THREADS = 16
CLAIM = 64


@dataclass(frozen=True)
class Size:
    few: int
    many: int
    #: Sessions that the finished jobs are of.
    sessions: int
    prompts: int
    repeats: int


SIZES = {
    Scale.FULL: Size(1_000, 1_000_000, 1_000, 2_000, 7),
    Scale.QUICK: Size(1_000, 100_000, 1_000, 1_000, 5),
    Scale.TINY: Size(20, 100, 10, 50, 1),
}


def measure(ground: Ground) -> Report:
    """Take turns between a database with few finished jobs and one with many."""
    size = SIZES[ground.scale]
    lines = []
    for kind in ground.kinds:
        with contextlib.ExitStack() as stack:
            places = [stack.enter_context(ground.database(kind)) for _ in range(2)]
            for place, jobs in zip(places, (size.few, size.many), strict=True):
                ground.tell(f"putting {jobs:,} finished jobs into {place.name}")
                fill(place, Crowd(jobs, size.sessions, "past", answered=True))
                settle(place)
            few, many = places
            _both(few, size, "warm")
            _both(many, size, "warm")
            times: dict[str, list[list[float]]] = {"admission": [[], []], "claim and finish": [[], []]}
            for turn in range(size.repeats):
                ground.tell(f"admitting and claiming on {few.name}, {turn + 1} of {size.repeats}")
                for number, place in enumerate(places if turn % 2 else places[::-1]):
                    which = number if turn % 2 else 1 - number
                    for name, value in zip(times, _both(place, size, str(turn)), strict=True):
                        times[name][which].append(value)
            for name, (at_few, at_many) in times.items():
                base, sample = Sample.of(at_few, "µs a prompt"), Sample.of(at_many, "µs a prompt")
                ratio = multiple(sample, base, f"at {size.few:,}")
                lines.append(Line(f"{few.name}, {name}, {size.few:,} finished", base))
                aim = at_most(ratio, AIM)
                lines.append(Line(f"{few.name}, {name}, {size.many:,} finished", sample, ratio, aim))
    notes = [
        (
            f"{size.prompts:,} prompts a turn, half of them to sessions with a past, admitted by {THREADS}"
            f" threads; then claimed and finished {CLAIM} at a time by one. Each finished job has its two"
            " messages. The databases are at rest before (WAL written back; Postgres vacuumed and analysed)."
        ),
        "Plain Celery keeps no jobs, so nothing stands beside it.",
    ]
    return Report("history", "admission and claim over finished jobs", lines, notes)


def _both(place: Place, size: Size, turn: str) -> tuple[float, float]:
    """Admit a turn's prompts, then claim and finish them; microseconds a prompt of each."""
    began = time.perf_counter()
    names = [
        f"ses_past_{number % size.sessions}" if number % 2 else f"ses_new{turn}_{number}"
        for number in range(size.prompts)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda name: place.store.admit(TENANT, name, a_prompt()), names))
    admitted = time.perf_counter()
    finished: list[Finished] = []
    count = 0
    while True:
        claimed = place.store.exchange("bench", finished, slots=CLAIM, lease_ms=60_000).claimed
        count += len(claimed)
        finished = [ended(each.job) for each in claimed]
        if not finished:
            break
    done = time.perf_counter()
    if count != size.prompts:
        raise RuntimeError(f"{count} of {size.prompts} prompts were claimed")
    return (admitted - began) / count * 1e6, (done - admitted) / count * 1e6
