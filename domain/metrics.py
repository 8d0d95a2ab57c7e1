"""The figures that promptq counts and shows, by name: what Prometheus calls them, what they mean, how they are split.

Names, models' providers and states are not content; session IDs and model names are left out all the same, because
there is no end of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from domain.record import Record

MetricType = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""A value under its whole name (`promptq_job_wait_seconds_bucket`, say) and its labels."""


@dataclass(frozen=True)
class Metric(Record):
    """One family of figures."""

    name: str
    type: MetricType
    #: For people: what is counted, in which unit.
    help: str
    labels: tuple[str, ...] = ()

    def sample(self, value: float, *labels: str) -> Sample:
        """Make a value of it; the labels are in the order of their names."""
        return self.name, dict(zip(self.labels, labels, strict=True)), value


BOUNDS_S = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0),
)
"""Upper bounds of all histograms of time: from an idle engine's milliseconds to an hour behind a large batch."""

#: Counted by workers.
ATTEMPTS_STARTED = Metric("promptq_attempts_started_total", "counter", "Attempts begun.", ("kind", "provider"))
ATTEMPTS_ENDED = Metric(
    "promptq_attempts_ended_total",
    "counter",
    "Attempts whose end the store has taken, by how they ended; lost ones are counted by whoever found them lost.",
    ("kind", "provider", "outcome"),
)
JOBS_ENDED = Metric(
    "promptq_jobs_ended_total",
    "counter",
    "Jobs that reached a terminal state: by a worker's hand, or in an API (cancelled, aborted, deleted).",
    ("kind", "state"),
)
JOB_WAIT = Metric(
    "promptq_job_wait_seconds",
    "histogram",
    "From admission (or notBefore) to the start of the first attempt.",
    ("kind",),
)
SLOT_WAIT = Metric(
    "promptq_slot_wait_seconds",
    "histogram",
    "From when a head became ready to the start of its attempt: what more slots would shorten.",
    ("kind",),
)
RUN = Metric("promptq_attempt_run_seconds", "histogram", "How long attempts ran.", ("kind", "provider"))
TOKENS = Metric(
    "promptq_tokens_total", "counter", "Tokens that providers have counted.", ("kind", "provider", "direction")
)
COST = Metric("promptq_cost_dollars_total", "counter", "US dollars, where a cost is known.", ("kind", "provider"))
FENCED = Metric(
    "promptq_ends_fenced_total", "counter", "Ends that were thrown away because their attempts had lost their leases."
)
RECONCILED = Metric(
    "promptq_reconciled_total",
    "counter",
    "What reconcile mended: attempts lost, jobs ended (expired, or cancelled behind others), heads stamped, records"
    " pruned.",
    ("action",),
)
SLOTS = Metric("promptq_worker_slots", "gauge", "Prompts that the worker runs at once.")
SLOTS_USED = Metric("promptq_worker_slots_used", "gauge", "Slots that are taken.")
DRAINING = Metric("promptq_worker_draining", "gauge", "1 while the worker claims no more and finishes what it has.")

#: Counted by APIs, and by workers that take prompts as Celery tasks.
ADMITTED = Metric(
    "promptq_prompts_admitted_total",
    "counter",
    "Prompts taken, by whether they were new or repeats of ones already kept (a worker counts the new ones)."
    " Workers take those that come as Celery tasks.",
    ("kind", "disposition"),
)
STREAMS = Metric("promptq_open_streams", "gauge", "Event streams that clients of this API hold open.")

#: Of the store, the same at every API.
JOBS = Metric("promptq_jobs", "gauge", "Open jobs of all tenants.", ("kind", "state"))
WAITING = Metric(
    "promptq_jobs_waiting",
    "gauge",
    "Queued jobs by what they wait for: a free slot (worker), a time, or an earlier job of their session.",
    ("kind", "reason"),
)
OLDEST_READY = Metric(
    "promptq_oldest_ready_seconds",
    "gauge",
    "For how long the job that has waited longest for a slot, and for nothing else, has waited; 0 if none does.",
    ("kind",),
)
CENSUS_AGE = Metric("promptq_census_age_seconds", "gauge", "How old the figures of the store are.")
STORE_UP = Metric("promptq_store_up", "gauge", "Whether the store answered when it was last asked.", ("kind",))
WORKERS = Metric("promptq_workers", "gauge", "Workers that have reported in the last seconds.")
BUILD = Metric("promptq_build_info", "gauge", "The version that runs.", ("version",))

BY_WORKERS = (
    *(ATTEMPTS_STARTED, ATTEMPTS_ENDED, JOBS_ENDED, JOB_WAIT, SLOT_WAIT, RUN, TOKENS, COST, FENCED, RECONCILED),
    *(SLOTS, SLOTS_USED, DRAINING, ADMITTED),
)
BY_APIS = (ADMITTED, JOBS_ENDED, STREAMS, JOBS, WAITING, OLDEST_READY, CENSUS_AGE, STORE_UP, WORKERS, BUILD)
ALL = {metric.name: metric for metric in (*BY_WORKERS, *BY_APIS)}


class Histogram:
    """Counts times by `BOUNDS_S`. For one thread at a time."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count a time."""
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self._sum += seconds

    def samples(self, metric: Metric, *labels: str) -> list[Sample]:
        """Return what it holds, as Prometheus has histograms: each bucket counts those below it too."""
        named = dict(zip(metric.labels, labels, strict=True))
        samples: list[Sample] = []
        total = 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self._counts, strict=True):
            total += count
            samples.append((f"{metric.name}_bucket", {**named, "le": bound}, total))
        return [*samples, (f"{metric.name}_count", named, total), (f"{metric.name}_sum", named, self._sum)]
