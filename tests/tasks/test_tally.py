"""What a worker counts: by kind, provider and state, and never whose it was or what was said."""

from typing import Any

import pytest

from domain.exposition import Exposition
from domain.jobs import State
from domain.metrics import ALL, Histogram
from tasks.metrics.recent import Recent
from tasks.metrics.tally import Tally
from tests.support.waiting import eventually
from tests.tasks.conftest import Workshop


class Counted:
    """A workshop's tally, asked by sample."""

    def __init__(self, workshop: Workshop, **settings: Any) -> None:
        self.tally = Tally()
        self.engine = workshop.engine(options={"count": self.tally.count}, **settings)

    def __call__(self, name: str, **labels: str) -> float:
        samples = [sample for family in self.tally.families() for sample in family.samples]
        return sum(value for full, has, value in samples if full == name and labels.items() <= has.items())


@pytest.fixture
def counted(sqlite_workshop: Workshop) -> Counted:
    return Counted(sqlite_workshop)


def test_an_answered_prompt_is_counted_once_in_each_way(sqlite_workshop: Workshop, counted: Counted) -> None:
    job = sqlite_workshop.ended(sqlite_workshop.admit("hello there", model="echo/echo"))
    assert job.state is State.SUCCEEDED
    by = {"kind": "durable", "provider": "echo"}
    eventually(lambda: counted("promptq_jobs_ended_total", kind="durable", state="succeeded") == 1)
    assert counted("promptq_attempts_started_total", **by) == 1
    assert counted("promptq_attempts_ended_total", outcome="succeeded", **by) == 1
    assert counted("promptq_attempt_run_seconds_count", **by) == 1
    assert counted("promptq_job_wait_seconds_count", kind="durable") == 1
    assert counted("promptq_slot_wait_seconds_count", kind="durable") == 1
    assert counted("promptq_tokens_total", direction="input", **by) >= 1
    assert counted("promptq_tokens_total", direction="output", **by) >= 1
    assert counted.tally.minute() == {"started": 1, "succeeded": 1}


def test_attempts_that_are_repeated_count_with_what_they_used_and_wait_once(
    sqlite_workshop: Workshop, counted: Counted
) -> None:
    fault = {"metadata": {"echo": {"fail": "transient", "failTimes": 2}}}
    job = sqlite_workshop.ended(sqlite_workshop.admit("again", model="echo/echo", detail=fault), timeout=20)
    assert job.attempt == 3
    eventually(lambda: counted("promptq_attempts_ended_total", outcome="succeeded") == 1)
    assert counted("promptq_attempts_ended_total", outcome="transient") == 2
    assert counted("promptq_attempts_started_total") == 3
    assert counted("promptq_job_wait_seconds_count") == 1
    assert counted("promptq_slot_wait_seconds_count") == 3
    assert counted("promptq_jobs_ended_total") == 1


def test_ends_without_success_are_told_apart(sqlite_workshop: Workshop, counted: Counted) -> None:
    failing = sqlite_workshop.admit(
        "x", "ses_b", model="echo/echo", detail={"metadata": {"echo": {"fail": "permanent"}}}
    )
    sqlite_workshop.ended(failing)
    eventually(lambda: counted("promptq_jobs_ended_total", state="failed") == 1)
    assert counted.tally.minute()["unsuccessful"] == 1


def test_what_reconcile_does_is_counted(sqlite_workshop: Workshop) -> None:
    sqlite_workshop.admit("lost", "ses_lost", model="echo/echo")
    sqlite_workshop.store.exchange("dead", (), slots=1, lease_ms=1)
    sqlite_workshop.admit("hold", "ses_late", not_before=2_000_000_000_000)
    late = sqlite_workshop.admit("late", "ses_late", not_before=2_000_000_000_000, expires_at=1)
    counted = Counted(sqlite_workshop, lease=1, retention=0.1 / 86_400)
    sqlite_workshop.ended(late)
    eventually(lambda: counted("promptq_reconciled_total", action="attempt_lost") == 1)
    eventually(lambda: counted("promptq_reconciled_total", action="job_ended") == 1)
    eventually(lambda: counted("promptq_reconciled_total", action="record_pruned") >= 1)
    assert counted("promptq_attempts_ended_total", outcome="lost") == 1
    assert counted("promptq_jobs_ended_total", state="expired") == 1


def test_a_fenced_end_is_counted(sqlite_workshop: Workshop, counted: Counted) -> None:
    def lose_one() -> bool:
        job = sqlite_workshop.admit("slow", model="echo/echo", detail={"metadata": {"echo": {"delay": 0.2}}})
        eventually(lambda: sqlite_workshop.is_running(job))
        sqlite_workshop.store.end_leases(counted.engine.worker)
        sqlite_workshop.store.reconcile(limit=10)
        sqlite_workshop.ended(job)
        # The engine may have seen that the lease was lost before the attempt's end: then it hands in nothing.
        return counted("promptq_ends_fenced_total") > 0

    eventually(lose_one, 30)


def test_every_figure_is_in_the_catalogue_with_its_labels(sqlite_workshop: Workshop, counted: Counted) -> None:
    sqlite_workshop.ended(sqlite_workshop.admit("hello", model="echo/echo"))
    eventually(lambda: counted("promptq_jobs_ended_total") == 1)
    for family in counted.tally.families():
        assert ALL[family.metric.name] == family.metric
        for _, labels, _ in family.samples:
            assert set(labels) - {"le"} == set(family.metric.labels)


def test_prometheus_reads_what_is_shown(sqlite_workshop: Workshop, counted: Counted) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    sqlite_workshop.ended(sqlite_workshop.admit("the secret text", "ses_secret", model="echo/echo"))
    eventually(lambda: counted("promptq_jobs_ended_total") == 1)
    text = Exposition(counted.tally.families).text().decode()
    read = {family.name: family for family in text_string_to_metric_families(text)}
    assert read["promptq_attempt_run_seconds"].type == "histogram"
    assert read["promptq_jobs_ended"].type == "counter"
    assert "secret" not in text


def test_a_histogram_counts_every_time_in_all_buckets_from_its_own_on() -> None:
    histogram = Histogram()
    for seconds in (0.001, 0.3, 0.3, 10_000):
        histogram.observe(seconds)
    metric = ALL["promptq_job_wait_seconds"]
    samples = {(name, labels.get("le")): value for name, labels, value in histogram.samples(metric, "durable")}
    assert samples[f"{metric.name}_bucket", "0.005"] == 1
    assert samples[f"{metric.name}_bucket", "0.25"] == 1
    assert samples[f"{metric.name}_bucket", "0.5"] == 3
    assert samples[f"{metric.name}_bucket", "3600.0"] == 3
    assert samples[f"{metric.name}_bucket", "+Inf"] == samples[f"{metric.name}_count", None] == 4
    assert samples[f"{metric.name}_sum", None] == pytest.approx(10_000.601)


def test_what_is_older_than_a_minute_is_forgotten() -> None:
    now = 1_000.0
    recent = Recent(lambda: now)
    recent.add("started")
    now += 30
    recent.add("started")
    assert recent.counts() == {"started": 2}
    now += 31
    assert recent.counts() == {"started": 1}
    now += 60
    assert recent.counts() == {}
