"""Asks plain Celery and waits for the answer: `python -m benchmarks.plain.caller SECONDS`; prints milliseconds."""

from __future__ import annotations

import json
import sys
import time

from benchmarks.filling import TEXT
from benchmarks.plain.celery_app import echo

_WARM = 20


def ask() -> float:
    """Ask once; how long it took, in milliseconds."""
    began = time.perf_counter()
    echo.apply_async((TEXT,), priority=0).get(timeout=120)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    for _ in range(_WARM):
        ask()
    ends = time.perf_counter() + float(sys.argv[1])
    took = []
    while time.perf_counter() < ends:
        took.append(ask())
    print(json.dumps(took))
