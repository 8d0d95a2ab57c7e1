"""The counts of open jobs, made for whoever scrapes or looks, and not more often than the database can bear."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from domain.census import Census, Kind
from domain.errors import PromptqError
from domain.record import Record

SHORTEST_PAUSE_S = 1.0

SHARE = 50
"""Counting takes a fiftieth of the time at most: after a count that took a second there is none for 50 seconds."""

LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True)
class Taken(Record):
    """The latest counts."""

    counts: Mapping[Kind, Census]
    #: How old they are, in seconds.
    age_s: float
    #: Whether the store answered when it was last asked.
    is_up: bool


class CensusTaker:
    """Counts when it is asked, and else tells the counts before. Safe to use from many threads."""

    def __init__(self, count: Callable[[], Mapping[Kind, Census]], clock: Callable[[], float] = time.monotonic) -> None:
        """Make one; nothing is counted yet.

        Args:
            count: asks the store.
            clock: seconds, for tests.
        """
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Mapping[Kind, Census] = {}
        self._counted_at: float | None = None
        self._again_at = float("-inf")
        self._is_up = True

    def take(self) -> Taken:
        """Return the counts. While somebody else counts, the counts before are told, if there are any."""
        if self._lock.acquire(blocking=self._counted_at is None):
            try:
                if self._clock() >= self._again_at:
                    self._ask()
            finally:
                self._lock.release()
        age_s = 0.0 if self._counted_at is None else max(0.0, self._clock() - self._counted_at)
        return Taken(self._counts, age_s, self._is_up)

    def _ask(self) -> None:
        began = self._clock()
        try:
            counts = self._count()
        except PromptqError:
            self._is_up = False
        else:
            self._counts, self._counted_at, self._is_up = counts, began, True
        took = self._clock() - began
        self._again_at = self._clock() + min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, SHARE * took))
