"""Counts what an engine's commits say.

Plain numbers under one lock: it is called for every commit, in the thread that exchanges with the store, and costs a
few microseconds a prompt.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import product

from domain import metrics
from domain.exposition import Family
from domain.ids import is_ephemeral
from domain.jobs import AttemptEnd, Job, Outcome, State
from domain.metrics import Histogram, Sample
from domain.prompts import Disposition
from tasks.engine.outlets import Commit
from tasks.metrics.recent import Recent

KINDS = ("durable", "ephemeral")
TERMINAL = [state.value for state in State if not state.is_open]
MENDED = ("attempt_lost", "job_ended", "head_stamped", "record_pruned")

Key = tuple[str, ...]
"""The values of a metric's labels, in the order of their names."""


class Tally:
    """All that one worker has counted. Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: Counter[Key] = Counter()
        self._outcomes: Counter[Key] = Counter()
        # Those that are known beforehand begin at nothing: a rate can be computed from the first one on.
        self._states: Counter[Key] = Counter(dict.fromkeys(product(KINDS, TERMINAL), 0))
        self._admitted = 0
        self._tokens: Counter[Key] = Counter()
        self._cost: defaultdict[Key, float] = defaultdict(float)
        self._run: defaultdict[Key, Histogram] = defaultdict(Histogram)
        self._job_wait: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._slot_wait: defaultdict[str, Histogram] = defaultdict(Histogram)
        self._fenced = 0
        self._mended: Counter[str] = Counter(dict.fromkeys(MENDED, 0))
        self._recent = Recent()

    def count(self, commit: Commit) -> None:
        """Count what a commit changed."""
        with self._lock:
            for job in commit.claimed:
                self._begin(job)
            self._recent.add("started", len(commit.claimed))
            if commit.taken:
                ends = {(attempt.job.id, attempt.job.attempt): attempt.end for attempt in commit.over}
                for job, attempt, runtime_s in commit.taken:
                    self._take(job, ends.get((job.id, attempt)), runtime_s)
            for job in commit.ended:
                self._end(job)
            for before, after in commit.lost:
                self._outcomes[kind_of(before), provider_of(before), Outcome.LOST] += 1
                self._end(after)
            self._fenced += commit.fenced
            self._admitted += len(commit.admitted)
            self._mend(commit)

    def _begin(self, job: Job) -> None:
        kind = kind_of(job)
        self._started[kind, provider_of(job)] += 1
        began = job.attempt_started or 0
        if job.attempt == 1:
            since = max(job.created, job.not_before or 0)
            self._job_wait[kind].observe(max(0, began - since) / 1000)
        if job.ready_at is not None:
            self._slot_wait[kind].observe(max(0, began - job.ready_at) / 1000)

    def _take(self, job: Job, end: AttemptEnd | None, runtime_s: float) -> None:
        kind, provider = kind_of(job), provider_of(job)
        outcome = job.outcome
        if outcome is None and job.past_attempts:
            outcome = job.past_attempts[-1].outcome
        self._outcomes[kind, provider, outcome or ""] += 1
        self._run[kind, provider].observe(runtime_s)
        if end is not None and end.usage is not None:
            self._tokens[kind, provider, "input"] += end.usage.input
            self._tokens[kind, provider, "output"] += end.usage.output
        if end is not None and end.cost is not None:
            self._cost[kind, provider] += end.cost
        self._end(job)

    def _end(self, job: Job) -> None:
        if not job.state.is_open:
            self._states[kind_of(job), job.state] += 1
            self._recent.add("succeeded" if job.state is State.SUCCEEDED else "unsuccessful")

    def _mend(self, commit: Commit) -> None:
        if commit.mended is None:
            return
        self._mended["attempt_lost"] += len(commit.lost)
        self._mended["job_ended"] += len(commit.ended)
        self._mended["head_stamped"] += commit.mended.stamped
        self._mended["record_pruned"] += commit.mended.pruned

    def minute(self) -> dict[str, int]:
        """Return what happened in the last minute: attempts `started`, jobs ended `succeeded` and `unsuccessful`."""
        with self._lock:
            return self._recent.counts()

    def families(self) -> Iterator[Family]:
        """Return what has been counted."""
        with self._lock:
            yield Family(metrics.ATTEMPTS_STARTED, _counted(metrics.ATTEMPTS_STARTED, self._started))
            yield Family(metrics.ATTEMPTS_ENDED, _counted(metrics.ATTEMPTS_ENDED, self._outcomes))
            yield Family(metrics.JOBS_ENDED, _counted(metrics.JOBS_ENDED, self._states))
            yield Family(metrics.ADMITTED, [metrics.ADMITTED.sample(self._admitted, "durable", Disposition.ADMITTED)])
            yield Family(metrics.TOKENS, _counted(metrics.TOKENS, self._tokens))
            yield Family(metrics.COST, [metrics.COST.sample(spent, *key) for key, spent in self._cost.items()])
            yield Family(metrics.RUN, _timed(metrics.RUN, self._run))
            for metric, histograms in ((metrics.JOB_WAIT, self._job_wait), (metrics.SLOT_WAIT, self._slot_wait)):
                yield Family(metric, _timed(metric, {(kind,): found for kind, found in histograms.items()}))
            yield Family(metrics.FENCED, [metrics.FENCED.sample(self._fenced)])
            actions: dict[Key, int] = {(action,): number for action, number in self._mended.items()}
            yield Family(metrics.RECONCILED, _counted(metrics.RECONCILED, actions))


def kind_of(job: Job) -> str:
    """Tell whether a job is `durable` or `ephemeral`."""
    return "ephemeral" if is_ephemeral(job.session_id) else "durable"


def provider_of(job: Job) -> str:
    """Return the provider of a job's model."""
    return job.model.partition("/")[0]


def _counted(metric: metrics.Metric, numbers: Mapping[Key, int]) -> list[Sample]:
    return [metric.sample(number, *key) for key, number in numbers.items()]


def _timed(metric: metrics.Metric, histograms: Mapping[Key, Histogram]) -> list[Sample]:
    return [sample for key, histogram in histograms.items() for sample in histogram.samples(metric, *key)]
