"""A real Celery worker on a real Valkey."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.jobs import Outcome, State
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.workers import Fleet

pytestmark = pytest.mark.xdist_group("workers")


@pytest.fixture
def fleet(valkey: ValkeyServer, migrated_sqlite: Path, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet.make(migrated_sqlite, tmp_path, valkey.url)
    yield made
    made.close()


def test_a_worker_hears_the_bell_answers_is_inspected_and_gives_back_what_it_cannot_finish(fleet: Fleet) -> None:
    worker = fleet.worker(grace=0.2)
    worker.says("ready.")
    fleet.reaches(fleet.admit("first"), State.SUCCEEDED)

    took = []
    for n in range(9):
        job = fleet.admit(f"prompt {n}")
        began = time.monotonic()
        fleet.reaches(job, State.SUCCEEDED)
        took.append(time.monotonic() - began)
    assert sorted(took)[4] < 0.2, took

    stalled = fleet.admit("not to be shown", "ses_b", echo={"stall": True})
    fleet.reaches(stalled, State.RUNNING)
    inspection = fleet.celery("inspect", "active", "--json", name="inspect")
    assert inspection.ends() == 0
    (task,) = json.loads(inspection.output[inspection.output.index("{") :])["one@test"]
    assert (task["id"], task["name"]) == (f"{stalled.id}.1", "promptq.prompt")
    assert task["kwargs"] == {"job": stalled.id, "session": "ses_b", "attempt": 1, "model": "echo/echo"}
    assert "not to be shown" not in inspection.output

    worker.send(signal.SIGTERM)
    assert worker.ends() == 0
    returned = fleet.job(stalled)
    assert (returned.state, returned.charges) == (State.QUEUED, 0)
    assert [past.outcome for past in returned.past_attempts] == [Outcome.RETURNED]
    assert "not to be shown" not in worker.output


def test_a_warm_shutdown_waits_for_what_runs(fleet: Fleet) -> None:
    worker = fleet.worker(grace=20)
    job = fleet.admit("hello", echo={"delay": 1.0})
    fleet.reaches(job, State.RUNNING)
    worker.send(signal.SIGTERM)
    assert worker.ends() == 0
    assert (fleet.job(job).state, fleet.job(job).attempt) == (State.SUCCEEDED, 1)


def test_a_cold_shutdown_gives_back_within_seconds(fleet: Fleet) -> None:
    worker = fleet.worker(grace=60)
    job = fleet.admit("hello", echo={"stall": True})
    fleet.reaches(job, State.RUNNING)
    worker.send(signal.SIGTERM)
    worker.says("Warm shutdown")
    began = time.monotonic()
    worker.send(signal.SIGQUIT)
    worker.ends()
    assert time.monotonic() - began < 10
    assert fleet.job(job).state is State.QUEUED


def test_a_worker_works_before_redis_is_there_while_it_is_away_and_hears_it_when_it_is_back(
    fleet: Fleet, valkey: ValkeyServer
) -> None:
    valkey.kill()
    worker = fleet.worker()
    early = fleet.admit("early")
    fleet.reaches(early, State.SUCCEEDED)
    assert "ready." not in worker.output

    valkey.start()
    worker.says("ready.")
    assert hears(fleet)

    stalled = fleet.admit("stays", "ses_stays", echo={"delay": 3})
    fleet.reaches(stalled, State.RUNNING)
    valkey.kill()
    fleet.reaches(fleet.admit("meanwhile"), State.SUCCEEDED)
    valkey.start()
    eventually(lambda: hears(fleet), timeout=30)
    assert fleet.reaches(stalled, State.SUCCEEDED).attempt == 1
    assert worker.process.poll() is None


def test_a_worker_whose_redis_is_away_ends_in_good_order(fleet: Fleet, valkey: ValkeyServer) -> None:
    worker = fleet.worker()
    worker.says("ready.")
    valkey.kill()
    worker.says("Connection to broker lost")
    fleet.reaches(fleet.admit("meanwhile"), State.SUCCEEDED)
    worker.send(signal.SIGTERM)
    assert worker.ends(10) == 0
    assert "Traceback" not in worker.output


def test_a_full_worker_leaves_the_bell_to_an_idle_one(fleet: Fleet) -> None:
    fleet.worker(name="full", concurrency=1).says("ready.")
    fleet.reaches(fleet.admit("stall", "ses_stall", echo={"stall": True}), State.RUNNING)
    fleet.worker(name="idle", concurrency=1).says("ready.")
    assert hears(fleet)
    assert hears(fleet)


def test_a_worker_without_any_broker_looks_by_itself(migrated_sqlite: Path, tmp_path: Path) -> None:
    fleet = Fleet.make(migrated_sqlite, tmp_path, None)
    worker = fleet.worker()
    try:
        fleet.reaches(fleet.admit("hello"), State.SUCCEEDED)
        worker.says("ready.")
        worker.send(signal.SIGTERM)
        assert worker.ends() == 0
    finally:
        fleet.close()


def test_a_worker_does_not_start_on_a_database_of_another_version(fleet: Fleet, tmp_path: Path) -> None:
    worker = fleet.worker(database_url=f"sqlite:///{tmp_path / 'empty.db'}")
    assert worker.ends() != 0
    assert "migrate" in worker.output


def hears(fleet: Fleet) -> bool:
    """Whether most prompts start sooner than a worker looks by itself."""
    took = []
    for n in range(5):
        job = fleet.admit(f"listen {n}", f"ses_listen_{n}")
        began = time.monotonic()
        fleet.reaches(job, State.SUCCEEDED)
        took.append(time.monotonic() - began)
    return sorted(took)[2] < 0.4
