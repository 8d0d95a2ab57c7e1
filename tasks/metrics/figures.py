"""All that a worker shows of itself: what it has counted, its slots, its process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from domain import metrics
from domain.exposition import Family, of_this_process
from domain.shapes import VERSION
from storage.reports import Report, WireFamily
from tasks.engine.engine import Engine
from tasks.metrics.tally import Tally


class Figures:
    """One worker's figures. Safe to use from many threads."""

    def __init__(
        self, tally: Tally, engine: Engine, *, name: str, slots: int, is_draining: Callable[[], bool], shown: bool
    ) -> None:
        """Make them.

        Args:
            tally: what is counted.
            engine: the worker's engine.
            name: what the worker is called.
            slots: how many it has.
            is_draining: whether it claims no more.
            shown: whether a scraper gets the figures from the worker itself: then reports go without, and nothing is
                counted twice.
        """
        self._tally = tally
        self._engine = engine
        self._name = name
        self._slots = slots
        self._is_draining = is_draining
        self._shown = shown
        self._began = time.monotonic()
        self._has_ended = False

    def families(self) -> Iterator[Family]:
        """Return all figures."""
        yield from self._tally.families()
        yield Family(metrics.SLOTS, [metrics.SLOTS.sample(0 if self._has_ended else self._slots)])
        yield Family(metrics.SLOTS_USED, [metrics.SLOTS_USED.sample(self._engine.used())])
        yield Family(metrics.DRAINING, [metrics.DRAINING.sample(int(self._is_draining()))])
        yield Family(metrics.BUILD, [metrics.BUILD.sample(1, VERSION)])
        yield from of_this_process()

    def report(self, *, ended: bool = False) -> Report:
        """Say how the worker is."""
        self._has_ended = ended
        families = [] if self._shown else [_wire(family) for family in self.families() if family.samples]
        return Report(
            name=self._name,
            id=self._engine.worker,
            slots=self._slots,
            used=self._engine.used(),
            up_s=round(time.monotonic() - self._began, 1),
            draining=self._is_draining(),
            ended=ended,
            minute=self._tally.minute(),
            families=families,
        )


def _wire(family: Family) -> WireFamily:
    metric = family.metric
    return metric.name, metric.type, metric.help, family.samples
