"""Time, as the whole of promptq counts it.

Every time is whole milliseconds since the Unix epoch, in UTC: what the API takes and gives, what the tables hold, and
what the rules compare. Rules never read a clock: the store's time is passed to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Millis = int
"""A point in time, or a span, in milliseconds. Points count from the Unix epoch (UTC)."""

Clock = Callable[[], Millis]


def system_clock() -> Millis:
    """Return this machine's time."""
    return time.time_ns() // 1_000_000


def millis(seconds: float) -> Millis:
    """Convert a span of seconds."""
    return round(seconds * 1000)
