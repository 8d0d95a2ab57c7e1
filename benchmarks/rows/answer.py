"""From POST to the answer: with nothing else to do, and with a hundred thousand prompts waiting."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace

import sqlalchemy as sa

from benchmarks import client
from benchmarks.figures import Aim, Line, Ratio, Report, Sample, Scale, below, percentile
from benchmarks.filling import TEXT, Crowd, fill
from benchmarks.ground import Ground, Place
from benchmarks.plain.workers import LEAST_URGENT, PlainCelery
from tests.support.waiting import eventually

IDLE_P50_MS = 6.0
IDLE_P99_MS = 20.0
BACKLOG_TIMES = 5.0
URGENT = 9


@dataclass(frozen=True)
class Size:
    #: How long answers are waited for, one after another.
    seconds: float
    backlog: int
    repeats: int


SIZES = {
    Scale.FULL: Size(4, 100_000, 5),
    Scale.QUICK: Size(2, 50_000, 2),
    Scale.TINY: Size(0.3, 200, 1),
}


def measure(ground: Ground) -> Report:
    """Ask on each database, then plain Celery."""
    size = SIZES[ground.scale]
    lines = []
    notes = [
        (
            "One client that asks (`POST /session/{id}/message`, a new session each) and waits for the answer,"
            " again and again; API, worker and client are processes of their own."
        ),
        (
            f"Backlog: {size.backlog:,} no-op prompts of priority 5 in other sessions, which the worker drains"
            f" meanwhile at full speed; the client's prompts have priority {URGENT}. Of priority 5 they would"
            " wait their turn."
        ),
        (
            "Plain Celery: `apply_async().get()` by a Redis result backend, without any HTTP; with a backlog"
            " of the least urgent messages, its own the most urgent."
        ),
    ]
    for kind in ground.kinds:
        with ground.database(kind) as place:
            lines += _promptq(place, size, notes)
    lines += _plain(ground, size)
    return Report("answer", "POST to answer", lines, notes)


def _promptq(place: Place, size: Size, notes: list[str]) -> list[Line]:
    with contextlib.ExitStack() as stack:
        command, port = place.api()
        stack.enter_context(command)
        stack.enter_context(place.worker())
        body = {"parts": [{"type": "text", "text": TEXT}], "priority": URGENT}
        load = client.Load(port, "", body, 1, size.seconds)
        idle = []
        for turn in range(size.repeats):
            place.ground.tell(f"asking {place.name}, idle, {turn + 1} of {size.repeats}")
            idle.append(client.run(replace(load, path=f"/session/ses_idle{turn}_{{n}}/message")))
        busy = []
        for turn in range(size.repeats):
            place.ground.tell(f"asking {place.name}, with a backlog, {turn + 1} of {size.repeats}")
            eventually(lambda: not _open(place), 180, what="the backlog is drained")
            fill(place, Crowd(size.backlog, size.backlog, f"backlog{turn}"))
            place.bell.ring()
            in_line = client.start(
                replace(
                    load, path=f"/session/ses_line{turn}/message", body={**body, "priority": 5}, warm_s=0, requests=1
                )
            )
            busy.append(client.run(replace(load, path=f"/session/ses_busy{turn}_{{n}}/message")))
            left = _open(place)
            notes.append(
                f"{place.name}, backlog {turn + 1}: {left:,} were left when the client had stopped. One prompt of"
                f" priority 5, posted behind it, was answered after {client.result(in_line).p50_ms / 1000:.1f} s."
            )
    return _lines(f"promptq, {place.name}", idle, busy)


def _lines(name: str, idle: list[client.Tally], busy: list[client.Tally]) -> list[Line]:
    idle_50 = Sample.of([tally.p50_ms for tally in idle], "ms")
    idle_99 = Sample.of([tally.p99_ms for tally in idle], "ms")
    busy_50 = Sample.of([tally.p50_ms for tally in busy], "ms")
    busy_99 = Sample.of([tally.p99_ms for tally in busy], "ms")
    times = Ratio(busy_99.median / idle_99.median, "idle p99")
    aim = Aim(f"< {BACKLOG_TIMES:g} × idle p99", times.value < BACKLOG_TIMES)
    return [
        Line(f"{name}, idle, p50", idle_50, aim=below(idle_50, IDLE_P50_MS)),
        Line(f"{name}, idle, p99", idle_99, aim=below(idle_99, IDLE_P99_MS)),
        Line(f"{name}, backlog, p50", busy_50, Ratio(busy_50.median / idle_50.median, "idle p50")),
        Line(f"{name}, backlog, p99", busy_99, times, aim),
    ]


def _open(place: Place) -> int:
    engine = sa.create_engine(place.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT count(*) FROM job WHERE state IN ('queued', 'running')"))
        count: int = found.scalar_one()
    engine.dispose()
    return count


def _plain(ground: Ground, size: Size) -> list[Line]:
    with contextlib.closing(PlainCelery(ground)) as plain:
        plain.flush()
        with plain.worker("prefork", 2):
            idle, busy = [], []
            for turn in range(size.repeats):
                ground.tell(f"asking plain Celery, {turn + 1} of {size.repeats}")
                idle.append(_call(plain, size))
            for turn in range(size.repeats):
                ground.tell(f"asking plain Celery, with a backlog, {turn + 1} of {size.repeats}")
                plain.send("noop", (TEXT,), max(0, size.backlog - plain.waiting(LEAST_URGENT)), priority=LEAST_URGENT)
                busy.append(_call(plain, size))
            plain.flush()
    return [
        Line(f"plain Celery, prefork 2, {what}, p{percent}", Sample.of([percentile(t, percent) for t in took], "ms"))
        for what, took in (("idle", idle), ("backlog", busy))
        for percent in (50, 99)
    ]


def _call(plain: PlainCelery, size: Size) -> list[float]:
    out = subprocess.run(
        [sys.executable, "-m", "benchmarks.plain.caller", str(size.seconds)],
        check=True,
        capture_output=True,
        text=True,
        env=plain.environment,
    ).stdout
    took: list[float] = json.loads(out)
    return took
