"""`promptq run` with a real `promptq up`, found in the data directory: what an ephemeral run leaves behind."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis

from cli import running
from cli.run.sessions import EPHEMERAL_TTL_S
from tests.support.cli_runs import Promptq
from tests.support.commands import Command, clean_environment
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("up")  # one machine's worth of processes at a time

MARKER = "a-marker-that-nobody-else-writes"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a promptq that is up."""
    directory = tmp_path_factory.mktemp("up") / "data"
    environment = clean_environment(DATA_DIR=str(directory))
    command = ("-P", "-m", "cli.main", "up", "--port", "0", "--no-flower", "--quiet")
    with Command(*command, output=directory.parent / "output", environment=environment) as up:
        eventually(lambda: running.find(directory), 60, what=f"up is ready; it says {up.output!r}")
        yield directory


@pytest.fixture
def client(data: Path) -> Iterator[httpx2.Client]:
    up = running.find(data)
    assert up is not None
    with httpx2.Client(base_url=up.url, timeout=30) as made:
        yield made


@pytest.fixture
def promptq(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Promptq:
    for name in [name for name in os.environ if name.startswith("PROMPTQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PROMPTQ_DATA_DIR", str(data))
    return Promptq(monkeypatch, capsys)


def in_redis(data: Path, text: str) -> list[str]:
    """The keys that have a text in their names or in what they hold."""
    with redis.Redis(unix_socket_path=str(data / "valkey.sock")) as client:
        client.config_set("rdbcompression", "no")  # so that a dump has every byte as it is
        found = []
        for key in client.scan_iter():
            dumped = client.dump(key) or b""
            if text.encode() in key + dumped:
                found.append(key.decode())
        return found


def in_files(directory: Path, text: str) -> list[str]:
    return [str(path) for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def sessions(client: httpx2.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/session", params={"ephemeral": "true"}).json()
    return found


def test_a_run_is_answered_by_who_is_up_and_gone_on_in(promptq: Promptq, client: httpx2.Client, data: Path) -> None:
    assert promptq("run", "What is the tide doing?").out == "What is the tide doing?\n"
    assert promptq("run", "-c", "And now?").out == "And now?\n"
    (session,) = client.get("/session").json()
    assert len(client.get(f"/session/{session['id']}/message").json()) == 4
    up = running.find(data)
    assert up is not None
    assert not up.for_runs


def test_of_an_ephemeral_run_no_byte_is_left(promptq: Promptq, client: httpx2.Client, data: Path) -> None:
    run = promptq("run", "--ephemeral", "--session-id", "ses_tmp_the_name", MARKER)
    assert (run.code, run.out) == (0, f"{MARKER}\n")
    assert sessions(client) == []
    assert client.get("/session/ses_tmp_the_name").status_code == 404
    assert in_redis(data, MARKER) == []
    # For some minutes it is noted that somebody watched.
    assert in_redis(data, "ses_tmp_the_name") == ["promptq:watch:default:ses_tmp_the_name"]
    assert in_files(data, MARKER) == []
    figures = client.get("/metrics").text
    assert 'kind="ephemeral"' in figures
    assert MARKER not in figures


def test_of_an_ephemeral_run_that_is_killed_no_byte_is_left_after_a_minute(
    client: httpx2.Client, data: Path, tmp_path: Path
) -> None:
    environment = clean_environment(DATA_DIR=str(data))
    command = ("-P", "-m", "cli.main", "run", "--ephemeral", "--format", "json", MARKER)
    up = running.find(data)
    assert up is not None
    os.kill(up.children["worker"], signal.SIGSTOP)
    try:
        with Command(*command, output=tmp_path / "run", environment=environment) as run:
            eventually(lambda: any(job["state"] == "queued" for job in client.get("/job?ephemeral=true").json()), 30)
            run.send(signal.SIGKILL)
            run.ends()
        (session_id,) = [session["id"] for session in sessions(client)]
    finally:
        os.kill(up.children["worker"], signal.SIGCONT)
    eventually(lambda: client.get("/job?ephemeral=true&state=queued,running").json() == [], 30)

    def lifetimes() -> list[float]:
        with redis.Redis(unix_socket_path=str(data / "valkey.sock")) as direct:
            return [direct.pttl(key) / 1000 for key in in_redis(data, MARKER)]

    assert lifetimes()
    eventually(lambda: all(0 < each <= EPHEMERAL_TTL_S for each in lifetimes()), what=f"{lifetimes()}")
    assert in_files(data, MARKER) == []
    client.delete(f"/session/{session_id}")
    assert in_redis(data, MARKER) == []


def test_ephemeral_runs_side_by_side_do_not_see_each_other(data: Path, client: httpx2.Client, tmp_path: Path) -> None:
    environment = clean_environment(DATA_DIR=str(data))
    began = time.monotonic()
    runs = [
        Command(
            *("-P", "-m", "cli.main", "run", "--no-session", f"prompt {number}"),
            output=tmp_path / str(number),
            environment=environment,
        )
        for number in range(4)
    ]
    for number, run in enumerate(runs):
        with run:
            assert run.ends(60) == 0, run.output
            assert run.output.endswith(f"prompt {number}\n")
    assert sessions(client) == []
    assert time.monotonic() - began < 60
