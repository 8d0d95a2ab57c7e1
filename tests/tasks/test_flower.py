"""What Flower itself shows of prompts, through its own API."""

import json
import secrets
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.jobs import State
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.workers import Fleet

pytestmark = pytest.mark.xdist_group("workers")


@pytest.fixture
def fleet(valkey: ValkeyServer, migrated_sqlite: Path, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet.make(migrated_sqlite, tmp_path, valkey.url)
    yield made
    made.close()


def test_flower_shows_each_attempt_as_a_task_with_its_true_state_and_no_content(
    fleet: Fleet, free_port: Callable[[], int]
) -> None:
    port = free_port()
    password = secrets.token_hex()
    flower = fleet.celery(
        *("flower", "--address=127.0.0.1", f"--port={port}"),
        name="flower",
        environment={"FLOWER_BASIC_AUTH": f"test:{password}"},
    )
    authorization = "Basic " + b64encode(f"test:{password}".encode()).decode()

    def ask(path: str) -> Any:
        asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": authorization})
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                return json.load(answer)
        except OSError as error:
            raise AssertionError("Flower does not answer yet") from error

    def tasks() -> dict[str, dict[str, Any]]:
        shown: dict[str, dict[str, Any]] = ask("/api/tasks")
        return shown

    worker = fleet.worker()
    worker.says("ready.")
    flower.says("Connected to")
    eventually(lambda: tasks() is not None, 30, what="Flower answers")

    first = fleet.admit("a secret word", "ses_first")
    fleet.reaches(first, State.SUCCEEDED)
    eventually(lambda: f"{first.id}.1" in tasks(), 30)

    good = fleet.admit("a secret word", "ses_good", echo={"delay": 0.3})
    bad = fleet.admit("a secret word", "ses_bad", echo={"fail": "permanent"})
    twice = fleet.admit("a secret word", "ses_twice", echo={"fail": "transient", "failTimes": 1})
    stopped = fleet.admit("a secret word", "ses_stopped", echo={"stall": True})
    fleet.reaches(stopped, State.RUNNING)
    eventually(lambda: [worker["active"] for worker in ask("/workers?json=1")["data"]] == [1])
    fleet.store.cancel_job("default", stopped.id)
    for job, state in (
        (good, State.SUCCEEDED),
        (bad, State.FAILED),
        (twice, State.SUCCEEDED),
        (stopped, State.CANCELLED),
    ):
        fleet.reaches(job, state)

    expected = {
        f"{good.id}.1": "SUCCESS",
        f"{bad.id}.1": "FAILURE",
        f"{twice.id}.1": "RETRY",
        f"{twice.id}.2": "SUCCESS",
        f"{stopped.id}.1": "REVOKED",
    }

    def all_shown() -> dict[str, dict[str, Any]]:
        shown = tasks()
        assert {uuid: shown.get(uuid, {}).get("state") for uuid in expected} == expected
        return shown

    shown = eventually(all_shown, 20)
    task = shown[f"{good.id}.1"]
    assert task["name"] == "promptq.prompt"
    assert task["kwargs"] == f"{{'job': '{good.id}', 'session': 'ses_good', 'attempt': 1, 'model': 'echo/echo'}}"
    assert 0.3 <= task["runtime"] < 5
    assert task["worker"] == "one@test"
    assert shown[f"{bad.id}.1"]["exception"] == "Failed('echo_fault')"
    assert "secret" not in json.dumps(shown)
