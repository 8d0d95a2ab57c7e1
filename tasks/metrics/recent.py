"""What happened in the last minute: for people who look at a screen; a monitoring system computes its own rates."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

STEP_S = 5
SPAN_S = 60


class Recent:
    """Counts by name, and forgets what is older than a minute, in steps of five seconds. For one thread at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._steps: deque[tuple[int, Counter[str]]] = deque()

    def add(self, name: str, number: int = 1) -> None:
        """Count some now."""
        step = int(self._clock() // STEP_S)
        if not self._steps or self._steps[-1][0] != step:
            self._steps.append((step, Counter()))
            self._forget(step)
        self._steps[-1][1][name] += number

    def counts(self) -> dict[str, int]:
        """Return what was counted in the last minute."""
        self._forget(int(self._clock() // STEP_S))
        total: Counter[str] = Counter()
        for _, counted in self._steps:
            total += counted
        return {name: number for name, number in total.items() if number}

    def _forget(self, step: int) -> None:
        while self._steps and self._steps[0][0] <= step - SPAN_S // STEP_S:
            self._steps.popleft()
