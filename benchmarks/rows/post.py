"""POST of single prompts, beside a FastAPI application that calls `apply_async`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

from benchmarks import client
from benchmarks.figures import Line, Report, Sample, Scale, at_least, multiple
from benchmarks.filling import TEXT
from benchmarks.ground import Ground
from benchmarks.plain.workers import PlainCelery

AIM = 2.0


@dataclass(frozen=True)
class Size:
    seconds: float
    repeats: int
    connections: int


SIZES = {Scale.FULL: Size(4, 5, 32), Scale.QUICK: Size(2, 3, 32), Scale.TINY: Size(0.2, 1, 4)}


def measure(ground: Ground) -> Report:
    """Take turns: each server is posted to for a few seconds, then the next, so that all see the same machine."""
    size = SIZES[ground.scale]
    rates: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        plain = stack.enter_context(contextlib.closing(PlainCelery(ground)))
        loads = {}
        for kind in ground.kinds:
            place = stack.enter_context(ground.database(kind))
            command, port = place.api()
            stack.enter_context(command)
            loads[place.name] = (port, "/session/ses_post{turn}_{n}/prompt_async", _body())
        command, port = plain.api()
        stack.enter_context(command)
        loads[_PLAIN] = (port, "/session/ses_post{turn}_{n}/prompt", _body())
        for turn in range(size.repeats):
            for name, (port, path, body) in loads.items():
                ground.tell(f"posting to {name}, {turn + 1} of {size.repeats}")
                load = client.Load(port, path.replace("{turn}", str(turn)), body, size.connections, size.seconds)
                rates.setdefault(name, []).append(client.run(load).rate)
            plain.flush()
    beside = Sample.of(rates.pop(_PLAIN), "prompts/s")
    lines = []
    for name, values in rates.items():
        sample = Sample.of(values, "prompts/s")
        ratio = multiple(sample, beside, "apply_async")
        lines.append(Line(f"promptq, {name}", sample, ratio, at_least(ratio, AIM)))
    lines.append(Line(_PLAIN, beside))
    notes = [
        (
            f"{size.connections} keep-alive connections from one client process, one request at a time on each,"
            " every prompt to a session of its own; no worker runs. One API process (uvicorn, uvloop,"
            " httptools) each."
        ),
        "promptq's 204 means that the prompt is synced to disk; plain Celery's 200 that it is in the broker's memory.",
    ]
    return Report("post", "POST of single prompts", lines, notes)


_PLAIN = "FastAPI with apply_async"


def _body() -> dict[str, Any]:
    return {"parts": [{"type": "text", "text": TEXT}]}
