"""Times as people write and read them at a terminal. The API has epoch milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from domain.clock import Millis, system_clock

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN = re.compile(r"\+(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_EPOCH_MILLIS = re.compile(r"\d{12,14}", re.ASCII)

EXPLAINED = "2026-01-31T18:00Z, +90s, +10m, +2h, +1d, or epoch milliseconds"
"""What `moment` takes, for help and for errors."""


def moment(text: str) -> Millis:
    """Read a point in time: ISO 8601 with its offset from UTC, a span from now, or epoch milliseconds.

    Raises:
        ValueError: it is none of them; the message says what is.
    """
    span = _SPAN.fullmatch(text)
    if span:
        return system_clock() + round(float(span[1]) * _UNITS_MS[span[2]])
    if _EPOCH_MILLIS.fullmatch(text):
        return int(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write {EXPLAINED}") from None
    if when.tzinfo is None:
        raise ValueError(f"{text!r} does not say its time zone; add Z for UTC, or an offset such as +02:00")
    return round(when.timestamp() * 1000)


def iso(time: Millis) -> str:
    """Write a time for programs: ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def local(time: Millis) -> str:
    """Write a time for people: this machine's zone, to the second."""
    return datetime.fromtimestamp(time / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def local_briefly(time: Millis) -> str:
    """Write a time for people, in ten characters: of today the time, else the date."""
    when = datetime.fromtimestamp(time / 1000, UTC).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return when.strftime("%H:%M:%S" if when.date() == today else "%Y-%m-%d")


def span(ms: Millis) -> str:
    """Write a span for people, in three digits or so: `85 ms`, `1.2 s`, `3 min`, `2.5 h`."""
    if ms < _UNITS_MS["s"]:
        return f"{ms} ms"
    if ms < _UNITS_MS["m"]:
        return f"{ms / _UNITS_MS['s']:.1f} s"
    if ms < _UNITS_MS["h"]:
        return f"{ms / _UNITS_MS['m']:.0f} min"
    return f"{ms / _UNITS_MS['h']:.1f} h"
