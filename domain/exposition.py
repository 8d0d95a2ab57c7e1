"""Families of figures as Prometheus reads them, and as one process hands them to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.core import Metric as Exposed
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from domain.metrics import Metric, Sample
from domain.record import Record

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Family(Record):
    """A metric with its values."""

    metric: Metric
    samples: Sequence[Sample]

    def labelled(self, name: str, value: str) -> Family:
        """Return the same with one more label on every value."""
        return self.evolve(samples=[(full, {**labels, name: value}, number) for full, labels, number in self.samples])


class Exposition(Collector):
    """What a registry of prometheus_client, or its server, collects from."""

    def __init__(self, families: Callable[[], Iterable[Family]]) -> None:
        """Take what is asked for the families at each scrape; those of one metric may come in several parts."""
        self._families = families

    def collect(self) -> Iterator[Exposed]:
        """Return the families as prometheus_client has them."""
        found: dict[str, Exposed] = {}
        for family in self._families():
            metric = family.metric
            name = metric.name.removesuffix("_total") if metric.type == "counter" else metric.name
            exposed = found.setdefault(name, Exposed(name, metric.help, metric.type))
            for full, labels, value in family.samples:
                exposed.add_sample(full, dict(labels), value)
        return iter(found.values())

    def text(self) -> bytes:
        """Write what Prometheus scrapes."""
        return generate_latest(self)


def of_this_process() -> Iterator[Family]:
    """Return processor time, memory, descriptors and start of this process, under their usual names."""
    for exposed in ProcessCollector(registry=None).collect():
        kind = "counter" if exposed.type == "counter" else "gauge"
        name = f"{exposed.name}_total" if kind == "counter" else exposed.name
        samples = [(sample.name, dict(sample.labels), sample.value) for sample in exposed.samples]
        yield Family(Metric(name, "counter" if kind == "counter" else "gauge", exposed.documentation), samples)
