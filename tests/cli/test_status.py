"""`promptq status` as a person reads it, as a program does, and who may."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.reports import Report, Reports
from tests.support.answering_server import AnsweringServer
from tests.support.cli_runs import Promptq
from tests.support.commands import clean_environment
from tests.support.keys import keyed
from tests.support.terminal import Terminal
from tests.support.valkey import ValkeyServer

At = Callable[[str], Promptq]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> At:
    """The command, at the server with a URL."""
    for name in ("PROMPTQ_KEY", "PROMPTQ_PASSWORD", "PROMPTQ_METRICS_PASSWORD", "PROMPTQ_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROMPTQ_DATA_DIR", str(tmp_path / "data"))

    def command(url: str) -> Promptq:
        monkeypatch.setenv("PROMPTQ_URL", url)
        return Promptq(monkeypatch, capsys)

    return command


@pytest.fixture
def fleet(valkey: ValkeyServer) -> Iterator[AnsweringServer]:
    """A server with two workers, one of which drains, and two prompts in a session."""
    reports = Reports(valkey.url, "promptq:")
    minute = {"started": 9, "succeeded": 7, "unsuccessful": 1}
    reports.write(Report(name="one@host", id="1", slots=64, used=48, up_s=7200.0, minute=minute))
    reports.write(Report(name="two@host", id="2", slots=64, used=3, up_s=90.0, draining=True, minute={}))
    reports.close()
    with AnsweringServer(redis_url=valkey.url, answers=False) as server:
        yield server


def prompt_twice(promptq: Promptq) -> str:
    job = promptq.does("prompt", "ses_a", "a secret", "--no-wait")
    promptq.does("prompt", "ses_a", "a secret", "--no-wait")
    return job


def test_a_program_gets_facts_workers_and_waiting_jobs_line_by_line(fleet: AnsweringServer, at: At) -> None:
    promptq = at(fleet.url)
    job = prompt_twice(promptq)
    run = promptq("status")
    assert run.code == 0
    facts = {row[0]: row[1] for row in run.rows if row[0] not in ("worker", "waiting")}
    assert facts["slots"] == "51 of 64 used"
    assert facts["durable"] == "0 running, 2 queued (1 for a slot, 1 for an earlier prompt)"
    assert facts["last minute"] == "9 started, 7 succeeded, 1 did not"
    workers = [row[1:6] for row in run.rows if row[0] == "worker"]
    assert workers == [["one@host", "running", "64", "48", "8"], ["two@host", "draining", "64", "3", "0"]]
    (waiting,) = [row for row in run.rows if row[0] == "waiting"]
    assert waiting[1:5] == [job, "ses_a", "default", "5"]
    assert "secret" not in run.out


def test_json_is_what_the_server_says(fleet: AnsweringServer, at: At) -> None:
    found = at(fleet.url)("status", "--json").json
    assert [worker["name"] for worker in found["workers"]] == ["one@host", "two@host"]
    assert found["slots"] == {"used": 51, "total": 64}


def test_a_person_gets_a_screen_that_fits(fleet: AnsweringServer, at: At, tmp_path: Path) -> None:
    prompt_twice(at(fleet.url))
    environment = clean_environment(URL=fleet.url, DATA_DIR=str(tmp_path))
    with Terminal("-P", "-m", "cli.main", "status", environment=environment, columns=80) as terminal:
        assert terminal.ends() == 0
    lines = [re.sub(r"\033\[[0-9;]*m", "", line) for line in terminal.screen.splitlines()]
    assert all(len(line) <= 80 for line in lines), lines
    assert "█░" in terminal.screen
    assert "51 of 64 used" in terminal.screen
    assert any(
        line.split() == ["worker", "state", "slots", "used", "done", "last", "minute", "up", "heard"] for line in lines
    )
    assert any(line.startswith("one@host") and "running" in line for line in lines)
    assert any(line.startswith("waits for a slot") for line in lines)


def test_a_server_without_a_redis_says_that_it_knows_no_worker(at: At) -> None:
    with AnsweringServer(answers=False) as server:
        run = at(server.url)("status")
    assert ["away", "redis"] in run.rows
    assert ["longest", "nobody waits for a slot"] in run.rows


def test_the_password_opens_it_a_key_does_not_and_the_metrics_password_comes_first(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration, keys = keyed("alice")
    given = {"password": "sesame", "metrics_password": "for scrapers"}
    with AnsweringServer(configuration=configuration, answers=False, **given) as server:
        promptq = at(server.url)
        assert "wants a key or a password" in promptq.fails(1, "status")
        monkeypatch.setenv("PROMPTQ_KEY", keys["alice"])
        assert "takes the server's password, and no key" in promptq.fails(1, "status")
        monkeypatch.setenv("PROMPTQ_PASSWORD", "sesame")
        promptq.does("status")
        monkeypatch.setenv("PROMPTQ_PASSWORD", "wrong")
        promptq.fails(1, "status")
        monkeypatch.setenv("PROMPTQ_METRICS_PASSWORD", "for scrapers")
        promptq.does("status")
