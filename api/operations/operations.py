"""What the operator's routes work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from api.operations.census import CensusTaker, Taken
from api.operations.figures import Figures
from api.operations.fleet import Fleet
from domain import metrics
from domain.exposition import Exposition, Family, of_this_process
from domain.settings import Settings
from domain.shapes import VERSION
from storage.base import Store

WORKER = "worker"
"""The label of what workers have reported."""


class Operations:
    """Made once by each process of the API."""

    def __init__(self, settings: Settings, store: Store, *, streams: Callable[[], int]) -> None:
        """Make it; `streams` tells how many event streams are open."""
        self.figures = Figures()
        self.census = CensusTaker(store.census)
        self.fleet = Fleet(settings)
        self.streams = streams

    def text(self) -> bytes:
        """Write all figures as Prometheus reads them: this process's, the store's, and those that workers reported."""
        return Exposition(self._families).text()

    def close(self) -> None:
        """Let go of connections."""
        self.fleet.close()

    def _families(self) -> Iterator[Family]:
        yield Family(metrics.BUILD, [metrics.BUILD.sample(1, VERSION)])
        yield from self.figures.families()
        yield Family(metrics.STREAMS, [metrics.STREAMS.sample(self.streams())])
        yield from of_the_store(self.census.take())
        heard = self.fleet.workers()
        if heard is not None:
            yield Family(metrics.WORKERS, [metrics.WORKERS.sample(sum(not each.report.ended for each in heard))])
            for each in heard:
                for family in each.report.figures():
                    yield family.labelled(WORKER, each.report.name)
        yield from of_this_process()


def of_the_store(taken: Taken) -> Iterator[Family]:
    """Return the figures of the store, the same at every API."""
    counts = taken.counts
    up = dict.fromkeys(("durable", *counts), taken.is_up)
    yield Family(metrics.STORE_UP, [metrics.STORE_UP.sample(int(is_up), kind) for kind, is_up in up.items()])
    yield Family(metrics.CENSUS_AGE, [metrics.CENSUS_AGE.sample(round(taken.age_s, 3))])
    jobs, waiting, oldest = [], [], []
    for kind, census in counts.items():
        jobs += [
            metrics.JOBS.sample(census.queued, kind, "queued"),
            metrics.JOBS.sample(census.running, kind, "running"),
        ]
        waiting += [
            metrics.WAITING.sample(census.ready, kind, "worker"),
            metrics.WAITING.sample(census.later, kind, "time"),
            metrics.WAITING.sample(census.behind, kind, "session"),
        ]
        oldest.append(metrics.OLDEST_READY.sample(census.oldest_ready_ms / 1000, kind))
    yield Family(metrics.JOBS, jobs)
    yield Family(metrics.WAITING, waiting)
    yield Family(metrics.OLDEST_READY, oldest)
