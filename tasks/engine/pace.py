"""How many prompts one exchange with the store takes.

Large rounds are cheap, and long: whoever is more urgent than what fills the slots waits for the one under way, for the
one that claims it and for the one that takes its end. So while such prompts come, rounds are small.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from domain.jobs import Job

LARGE = 256
"""Locks are held for milliseconds, and the first attempts start soon."""

SMALL = 16
"""A few milliseconds."""

BRISK_S = 2.0
"""How long rounds stay small after the latest of the more urgent: who asks once mostly asks again."""


class Pace:
    """Used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._brisk_until = 0.0

    def most(self) -> int:
        """Return how many ends, and how many claims, the next round takes."""
        return SMALL if self._clock() < self._brisk_until else LARGE

    def saw(self, claimed: Collection[Job]) -> None:
        """Look at what a round has claimed: whether some were more urgent than others that run beside them."""
        if len({job.rank for job in claimed}) > 1:
            self._brisk_until = self._clock() + BRISK_S
