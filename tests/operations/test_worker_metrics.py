"""What a real worker shows of itself: in Redis, and at a port of its own."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from domain.jobs import State
from storage.reports import Report, Reports
from tests.support.keepers import migrated
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.workers import Fleet

pytestmark = pytest.mark.xdist_group("operations")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def fleet(valkey: ValkeyServer, template: Path, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet.make(template, tmp_path, valkey.url)
    yield made
    made.close()


@pytest.fixture
def reports(valkey: ValkeyServer) -> Iterator[Reports]:
    made = Reports(valkey.url, "promptq:")
    yield made
    made.close()


def value(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def test_a_worker_reports_itself_and_its_figures_until_it_ends(fleet: Fleet, reports: Reports) -> None:
    def report() -> Report:
        (heard,) = reports.read()
        return heard.report

    worker = fleet.worker(concurrency=3)
    fleet.reaches(fleet.admit("a secret word"), State.SUCCEEDED)
    stalled = fleet.admit("a secret word", "ses_b", echo={"stall": True})
    fleet.reaches(stalled, State.RUNNING)
    eventually(lambda: (report().name, report().slots, report().used) == ("one@test", 3, 1), 20)
    eventually(lambda: report().minute == {"started": 2, "succeeded": 1})
    names = {family.metric.name for family in report().figures()}
    assert {"promptq_attempts_started_total", "promptq_worker_slots", "process_resident_memory_bytes"} <= names
    assert "secret" not in str(report())
    worker.send(signal.SIGTERM)
    assert worker.ends() == 0
    assert (report().ended, report().used) == (True, 0)


def test_a_worker_with_a_port_shows_its_figures_there_and_reports_none(
    fleet: Fleet, reports: Reports, free_port: Callable[[], int]
) -> None:
    port = free_port()
    worker = fleet.worker(metrics_port=port, metrics_password="for scrapers")
    fleet.reaches(fleet.admit("hello"), State.SUCCEEDED)
    url = f"http://127.0.0.1:{port}/metrics"

    def scraped() -> str:
        answer = httpx2.get(url, headers={"Authorization": "Bearer for scrapers"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        return answer.text

    eventually(lambda: value(scraped(), "promptq_jobs_ended_total", kind="durable", state="succeeded") == 1)
    assert value(scraped(), "promptq_worker_slots") == 64
    assert httpx2.get(url, auth=("prometheus", "for scrapers")).status_code == 200
    assert [httpx2.get(url, headers=headers).status_code for headers in ({}, {"Authorization": "Bearer no"})] == [
        401
    ] * 2
    assert httpx2.get(f"http://127.0.0.1:{port}/", auth=("x", "for scrapers")).status_code == 404
    (heard,) = eventually(reports.read)
    assert heard.report.families == []
    worker.send(signal.SIGTERM)
    assert worker.ends() == 0


def test_a_port_that_is_taken_costs_figures_and_no_prompts(fleet: Fleet, free_port: Callable[[], int]) -> None:
    port = free_port()
    fleet.worker(name="one", metrics_port=port).says("ready.")
    second = fleet.worker(name="two", metrics_port=port)
    second.says("metrics_port_not_opened")
    second.says("ready.")


def test_a_port_that_others_reach_takes_a_password(fleet: Fleet) -> None:
    worker = fleet.worker(metrics_port=9, metrics_host="0.0.0.0")
    assert worker.ends() != 0
    assert "PROMPTQ_METRICS_PASSWORD" in worker.output
