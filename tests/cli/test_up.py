"""`promptq up` as a person uses it: every part real, on free ports, in a directory of its own."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli import running
from cli.running import Running
from cli.supervisor import records
from cli.supervisor.processes import identify
from tests.support.commands import Command, clean_environment
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("up")  # one machine's worth of processes at a time


class Up:
    """A `promptq up` and its data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.command: Command | None = None

    def start(self, *options: str, **settings: str) -> Command:
        """Start it and wait until it is ready."""
        self.begin(*options, **settings).says("Ctrl-C stops everything.", timeout=60)
        assert self.command is not None
        return self.command

    def begin(self, *options: str, **settings: str) -> Command:
        output = self.directory / f"output-{uuid.uuid4().hex[:6]}"
        self.command = Command(
            *("-m", "cli.main", "up", "--port", "0", "--flower-port", "0", *options),
            output=output,
            environment=clean_environment(DATA_DIR=str(self.data), **settings),
        )
        return self.command

    @property
    def running(self) -> Running:
        found = running.find(self.data)
        assert found is not None
        return found

    def ask(self, text: str, session: str) -> str:
        """Send a prompt, wait for the answer, and return its text."""
        answer = httpx2.post(
            f"{self.running.url}/session/{session}/message",
            json={"parts": [{"type": "text", "text": text}]},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return "".join(part["text"] for part in body["parts"] if part["type"] == "text")

    def pids(self) -> list[int]:
        return list(self.running.children.values())


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    instance = Up(tmp_path)
    yield instance
    if instance.command is not None:
        with instance.command:
            pass


def test_up_says_where_everything_is_answers_and_stops_in_order(up: Up) -> None:
    command = up.start()
    output = command.output
    assert up.running.url in output
    assert str(up.running.flower) in output
    assert str(up.data / "promptq.db") in output
    assert "an offline model" in output
    assert set(up.running.children) == {"api", "flower", "valkey", "worker"}
    assert httpx2.get(f"{up.running.url}/readyz").status_code == 200
    assert httpx2.get(str(up.running.flower)).status_code == 200
    assert "there" in up.ask("Hello there", "ses_first")
    for private in (up.data, up.data / "logs", up.data / "up.json", up.data / "up.lock", up.data / "children.json"):
        assert stat.S_IMODE(private.stat().st_mode) & 0o077 == 0, private

    alive = [identity for pid in up.pids() if (identity := identify(pid))]
    assert len(alive) == 4
    command.send(signal.SIGINT)
    assert command.ends() == 130
    assert not any(each.is_alive for each in alive)
    assert "killed" not in command.output
    assert running.find(up.data) is None
    assert not (up.data / "valkey.sock").exists()


def test_the_curl_line_that_up_prints_works_as_it_stands(up: Up) -> None:
    output = up.start("--no-flower").output
    lines = re.search(r"    (curl.*?\n.*?\n.*?)\n", output)
    assert lines is not None
    answer = subprocess.run(["sh", "-c", lines[1]], capture_output=True, text=True, check=True)
    assert "Hello there" in answer.stdout


def test_a_second_up_on_the_same_directory_names_the_first(up: Up) -> None:
    first = up.start("--no-flower")
    url, pid = up.running.url, up.running.pid
    second = up.begin("--no-flower")
    assert second.ends() == 1
    assert f"already up on {up.data}: process {pid}, at {url}. Stop it first" in second.output
    assert httpx2.get(f"{url}/readyz").status_code == 200
    up.command = first


@pytest.mark.parametrize("name", ["worker", "api", "valkey"])
def test_a_part_that_is_killed_comes_back_and_prompts_are_answered(up: Up, name: str) -> None:
    command = up.start("--no-flower")
    before = up.running.children[name]
    os.kill(before, signal.SIGKILL)
    command.says(f"{name} died (killed by SIGKILL); starting it again in 0.5 s")
    command.says(f"{name} is back (start 2")
    assert up.running.children[name] != before
    assert "again" in up.ask("Once again", "ses_again")


def test_after_up_is_killed_the_next_start_goes_on_with_the_work(up: Up, free_port: Callable[[], int]) -> None:
    port = str(free_port())
    first = up.start("--no-flower", "--port", port)
    up.ask("Remember me", "ses_kept")
    children = [identity for pid in up.pids() if (identity := identify(pid))]
    first.send(signal.SIGKILL)
    first.ends()
    up.start("--no-flower", "--port", port)
    assert not any(child.is_alive for child in children)
    messages = httpx2.get(f"{up.running.url}/session/ses_kept/message").json()
    assert [message["info"]["role"] for message in messages] == ["user", "assistant"]
    up.ask("And again", "ses_kept")


def test_what_a_killed_up_left_behind_is_ended_and_nothing_else(up: Up) -> None:
    sleeper = (
        sys.executable,
        "-c",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
    )
    with subprocess.Popen(sleeper) as orphan, subprocess.Popen(sleeper) as stranger:
        up.data.mkdir()
        left, other = identify(orphan.pid), identify(stranger.pid)
        assert left is not None
        assert other is not None
        records.write(up.data / records.CHILDREN, [[left.pid, left.started], [other.pid, "another time"]])
        command = up.start("--no-flower")
        assert "one process that it left behind ended" in command.output
        eventually(lambda: orphan.poll() is not None)
        assert stranger.poll() is None
        stranger.kill()


def test_a_long_data_directory_works(up: Up) -> None:
    up.data = up.directory / ("long-" * 20) / "data"
    up.start("--no-flower")
    assert "far" in up.ask("So far", "ses_far")


def test_several_workers_are_told_apart(up: Up) -> None:
    up.start("--no-flower", "--workers", "2")
    assert set(up.running.children) == {"api", "valkey", "worker1", "worker2"}


def test_with_a_password_neither_api_nor_flower_is_open(up: Up) -> None:
    command = up.start(PASSWORD="open sesame")
    assert httpx2.get(f"{up.running.url}/session").status_code == 401
    assert httpx2.get(f"{up.running.flower}/workers").status_code == 401
    login = ("opencode", "open sesame")
    assert httpx2.get(f"{up.running.url}/session", auth=login).status_code == 200
    assert httpx2.get(f"{up.running.flower}/workers", auth=login).status_code == 200
    written = "".join(path.read_text(errors="replace") for path in up.data.rglob("*") if path.is_file())
    assert "open sesame" not in command.output + written
    for pid in up.pids():
        assert (
            "open sesame"
            not in subprocess.run(
                ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=True
            ).stdout
        )


def test_a_database_that_cannot_be_reached_ends_the_start_with_the_reason(up: Up, free_port: Callable[[], int]) -> None:
    nobody = f"postgresql://me:secret@127.0.0.1:{free_port()}/promptq?connect_timeout=2"
    command = up.begin("--no-flower", DATABASE_URL=nobody)
    assert command.ends(60) == 1
    assert "migrate failed" in command.output
    assert "secret" not in command.output
    assert running.find(up.data) is None


def test_a_prompt_that_runs_when_up_is_stopped_is_given_back_and_goes_on_at_the_next_start(up: Up) -> None:
    command = up.start("--no-flower", ECHO_FAULTS="1", GRACE="0.2")
    body = {
        "messageID": "msg_long",
        "parts": [{"type": "text", "text": "A long one"}],
        "metadata": {"echo": {"delay": 3}},
    }
    kept = httpx2.post(f"{up.running.url}/session/ses_long/prompt_async", json=body)
    assert kept.status_code == 204, kept.text
    job = kept.headers["Location"]
    eventually(lambda: httpx2.get(up.running.url + job).json()["state"] == "running")
    began = time.monotonic()
    command.send(signal.SIGINT)
    assert command.ends() == 130
    assert time.monotonic() - began < 10
    assert "killed" not in command.output

    up.start("--no-flower", ECHO_FAULTS="1")
    eventually(lambda: httpx2.get(up.running.url + job).json()["state"] == "succeeded", timeout=20)
    ended = httpx2.get(up.running.url + job).json()
    assert ended["attempt"] == 2
    assert ended["charges"] == 0


def test_with_a_redis_and_a_postgres_of_ones_own_nothing_is_embedded(
    up: Up, valkey: ValkeyServer, postgres_url: str
) -> None:
    up.start("--no-flower", REDIS_URL=valkey.url, DATABASE_URL=postgres_url.replace("+psycopg", ""))
    assert set(up.running.children) == {"api", "worker"}
    assert "elsewhere" in up.ask("Kept elsewhere", "ses_elsewhere")
    assert not list(up.data.glob("*.db"))
    assert up.command is not None
    up.command.send(signal.SIGTERM)
    assert up.command.ends() == 0


def test_up_starts_while_its_redis_is_away_and_prompts_are_answered(up: Up, tmp_path: Path) -> None:
    up.start("--no-flower", REDIS_URL=f"unix://{tmp_path}/nobody.sock")
    assert httpx2.get(f"{up.running.url}/readyz").json()["degraded"] == ["redis"]
    assert "alone" in up.ask("All alone", "ses_alone")
