"""Workers that are told to drain: over a real broker, by the command, under `promptq up`."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from cli import running
from domain.jobs import Outcome, State
from storage.reports import Reports
from tests.support.commands import Command, clean_environment
from tests.support.keepers import migrated
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.workers import Fleet


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


class Drain:
    """Types `promptq worker --drain …` against a fleet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._count = 0

    def __call__(self, *arguments: str, code: int = 0) -> str:
        self._count += 1
        output = self._fleet.directory / f"drain-{self._count}"
        command = Command(
            *("-P", "-m", "cli.main", "worker", "--drain", *arguments),
            output=output,
            environment=self._fleet.environment(),
        )
        with command:
            assert command.ends(30) == code, command.output
        return command.output.strip()


@pytest.fixture
def drain(fleet: Fleet) -> Drain:
    return Drain(fleet)


@pytest.mark.xdist_group("operations")
def test_a_worker_that_drains_finishes_what_it_has_claims_no_more_and_ends_with_0(
    fleet: Fleet, drain: Drain, valkey: ValkeyServer
) -> None:
    worker = fleet.worker(name="one", grace=60)
    running_job = fleet.admit("runs", "ses_a", echo={"stall": True})
    fleet.reaches(running_job, State.RUNNING)
    worker.says("ready.")
    assert drain("one") == "one@test claims no more, finishes 1 running prompt, for 60 s at most, and ends."
    late = fleet.admit("late", "ses_b")
    reports = Reports(valkey.url, "promptq:")
    eventually(lambda: [heard.report.draining for heard in reports.read()] == [True])
    inspection = fleet.celery("inspect", "active", "--json", name="inspect")
    assert inspection.ends() == 0
    assert [task["kwargs"]["job"] for task in json.loads(re.sub(r"(?s)^[^{]*", "", inspection.output))["one@test"]] == [
        running_job.id
    ]
    reports.close()
    assert worker.process.poll() is None
    fleet.store.cancel_job("default", running_job.id)
    assert worker.ends(30) == 0
    # Its end was waited for and handed in, not given back.
    ended = fleet.job(running_job)
    assert (ended.state, ended.attempt, ended.past_attempts) == (State.CANCELLED, 1, ())
    assert fleet.job(late).state is State.QUEUED
    assert (fleet.job(late).attempt, "draining" in worker.output) == (0, True)


@pytest.mark.xdist_group("operations")
def test_what_is_not_finished_in_time_is_given_back_uncharged(fleet: Fleet, drain: Drain) -> None:
    worker = fleet.worker(name="one", grace=600)
    stalled = fleet.admit("stalls", echo={"stall": True})
    fleet.reaches(stalled, State.RUNNING)
    worker.says("ready.")
    drain("one@test", "--grace", "0.2")
    assert worker.ends(20) == 0
    returned = fleet.job(stalled)
    assert (returned.state, returned.charges) == (State.QUEUED, 0)
    assert [past.outcome for past in returned.past_attempts] == [Outcome.RETURNED]


@pytest.mark.xdist_group("operations")
def test_the_others_go_on_and_hear_the_bells_that_a_draining_one_leaves_to_them(fleet: Fleet, drain: Drain) -> None:
    one, two = fleet.worker(name="one", grace=60), fleet.worker(name="two", grace=60)
    stalled = fleet.admit("stalls", "ses_stalls", echo={"stall": True})
    fleet.reaches(stalled, State.RUNNING)
    for worker in (one, two):
        worker.says("ready.")
    holder = (fleet.job(stalled).worker or "").partition("@")[0]
    drain(holder)
    for number in range(3):
        job = fleet.admit("hello", f"ses_{number}")
        ended = fleet.reaches(job, State.SUCCEEDED)
        assert not (ended.worker or "").startswith(f"{holder}@")
    again = drain(holder, "--grace", "0")
    assert "finishes 1 running prompt, for 0 s at most" in again
    assert {"one": one, "two": two}[holder].ends(20) == 0


@pytest.mark.xdist_group("operations")
def test_who_cannot_be_drained_is_said(fleet: Fleet, drain: Drain) -> None:
    assert drain("nobody", code=1) == "promptq: no worker called nobody answers, nor does any other."
    fleet.worker(name="one").says("ready.")
    assert drain("nobody", code=1) == "promptq: no worker called nobody answers; there are one@test."
    more = fleet.celery(
        *("worker", "-n", "one@elsewhere", "--without-gossip", "--without-mingle", "-l", "INFO"), name="elsewhere"
    )
    more.says("ready.")
    assert "several workers are called one; choose among one@elsewhere, one@test" in drain("one", code=1)


def test_without_a_broker_a_worker_is_told_by_a_signal(template: Path, tmp_path: Path) -> None:
    fleet = Fleet.make(template, tmp_path, None)
    try:
        assert "send the worker's process SIGTERM" in Drain(fleet)("one", code=1)
    finally:
        fleet.close()


@pytest.mark.xdist_group("up")
def test_under_up_a_worker_that_was_drained_is_not_started_again_and_one_that_dies_takes_up_its_prompts(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    environment = clean_environment(DATA_DIR=str(data), ECHO_FAULTS="1", LEASE="600")
    arguments = ("-m", "cli.main", "up", "--port", "0", "--no-flower", "--workers", "2")
    with Command(*arguments, output=tmp_path / "up.log", environment=environment) as up:
        up.says("Ctrl-C stops everything.", timeout=60)
        drained = Command(
            *("-P", "-m", "cli.main", "worker", "--drain", "worker2"),
            output=tmp_path / "drain",
            environment=environment,
        )
        assert drained.ends(30) == 0, drained.output
        up.says("worker2 has drained and ended")
        found = eventually(lambda: running.find(data))
        assert found is not None
        eventually(lambda: "worker2" not in (running.find(data) or found).children)
        body = {"parts": [{"type": "text", "text": "hi"}], "metadata": {"echo": {"delay": 3}}}
        job = httpx2.post(f"{found.url}/session/ses_a/prompt_async", json=body).headers["location"]
        eventually(lambda: httpx2.get(found.url + job).json()["state"] == "running")
        (worker1,) = [pid for name, pid in found.children.items() if name == "worker1"]
        Command("-c", f"import os, signal; os.kill({worker1}, signal.SIGKILL)", output=tmp_path / "kill").ends()
        up.says("worker1 is back")
        eventually(lambda: httpx2.get(found.url + job).json()["state"] == "succeeded", 30)
        assert len(httpx2.get(found.url + job).json()["attempts"]) == 2
