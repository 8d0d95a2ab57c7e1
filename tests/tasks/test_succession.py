"""What a worker that starts knows of its earlier runs: their leases need not run out."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.jobs import Outcome, State
from tasks.engine.identity import is_predecessor, new_worker_id
from tests.storage.actors import Worker, admit_job
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.conftest import Workshop
from tests.tasks.workers import Fleet


@pytest.fixture(scope="module")
def ended_pid() -> int:
    """The number of a process that is no more."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def test_every_run_has_an_id_of_its_own() -> None:
    first, second = new_worker_id("worker@host"), new_worker_id("worker@host")
    assert first != second
    assert first.startswith(f"worker@host:{os.getpid()}:")


def test_a_run_of_the_same_name_whose_process_is_gone_is_a_predecessor(ended_pid: int) -> None:
    assert is_predecessor(f"worker@host:{ended_pid}:aaaa", new_worker_id("worker@host"))


def test_a_run_that_had_this_very_process_number_is_one_as_in_a_container(ended_pid: int) -> None:
    assert is_predecessor(f"worker@host:{os.getpid()}:aaaa", new_worker_id("worker@host"))


@pytest.mark.parametrize(
    "other", ["other@host:{gone}:a", "worker@host:{alive}:a", "worker@host", "w1", "worker@host:x:y"]
)
def test_others_and_whoever_lives_are_none(other: str, ended_pid: int) -> None:
    name = other.format(gone=ended_pid, alive=os.getppid())
    assert not is_predecessor(name, new_worker_id("worker@host"))


def test_nobody_is_its_own_predecessor() -> None:
    me = new_worker_id("worker@host")
    assert not is_predecessor(me, me)


def test_what_an_earlier_run_held_goes_on_at_once(workshop: Workshop, ended_pid: int) -> None:
    ours, others = admit_job(workshop.store, "ses_ours"), admit_job(workshop.store, "ses_others")
    Worker(workshop.store, f"worker@host:{ended_pid}:aaaa").claim(1)
    Worker(workshop.store, f"other@host:{ended_pid}:aaaa").claim(1)
    workshop.engine(lease=600, options={"name": "worker@host"}, model="echo/echo")
    ended = workshop.ended(ours)
    assert (ended.state, ended.attempt, ended.charges, ended.losses) == (State.SUCCEEDED, 2, 0, 1)
    assert [past.outcome for past in ended.past_attempts] == [Outcome.LOST]
    assert workshop.job(others).state is State.RUNNING


@pytest.fixture
def fleet(valkey: ValkeyServer, migrated_sqlite: Path, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet.make(migrated_sqlite, tmp_path, valkey.url)
    yield made
    made.close()


@pytest.mark.xdist_group("workers")
def test_a_killed_worker_that_is_started_again_takes_up_its_prompts_long_before_their_leases_end(fleet: Fleet) -> None:
    first = fleet.worker(name="same", lease=600)
    job = fleet.admit("hello", echo={"delay": 3})
    fleet.reaches(job, State.RUNNING)
    first.send(signal.SIGKILL)
    first.ends()
    second = fleet.worker(name="same", lease=600)
    ended = fleet.reaches(job, State.SUCCEEDED)
    assert (ended.attempt, ended.losses, ended.charges) == (2, 1, 0)
    eventually(lambda: second.says("predecessor_lost"))
