"""`promptq run` where nothing is up: it starts what it needs, for as long as it needs it."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import running
from cli.run.household import Lock
from cli.supervisor.processes import Identity, identify
from tests.support.commands import Command, clean_environment
from tests.support.terminal import Terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("up")  # one machine's worth of processes at a time


class Home:
    """Somebody's directory, where nothing runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.count = 0

    def environment(self, **settings: str) -> dict[str, str]:
        given = {"DATA_DIR": str(self.data), **settings}
        return clean_environment(**given) | {"TMPDIR": str(self.temporary)}

    def run(self, *arguments: str, **settings: str) -> Command:
        self.count += 1
        output = self.directory / f"output-{self.count}"
        return Command(
            "-P", "-m", "cli.main", "run", *arguments, output=output, environment=self.environment(**settings)
        )

    def servers(self) -> list[Identity]:
        """All processes of the server that runs in the data directory, or in one of its own."""
        found = []
        for directory in (self.data, *self.temporary.glob("promptq-run-*")):
            up = running.find(directory)
            if up is not None:
                found += [identify(pid) for pid in (up.pid, *up.children.values())]
        return [each for each in found if each is not None]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path)
    yield made
    eventually(lambda: made.servers() == [], 30, what="no server is left")


def answered(command: Command, text: str) -> str:
    with command:
        assert command.ends(90) == 0, command.output
    assert command.output.endswith(f"{text}\n"), command.output
    return command.output


def test_a_first_run_just_works_stops_what_it_started_and_is_gone_on_in(home: Home) -> None:
    said = answered(home.run("hello"), "hello")
    assert f"the session is kept in {home.data} (PROMPTQ_DATA_DIR names another place)." in said
    assert home.servers() == []
    assert (home.data / ".gitignore").read_text() == "*\n"
    again = answered(home.run("--continue", "again"), "again")
    assert "is kept in" not in again
    session_id = re.compile(r"ses_\w+")
    assert session_id.findall(again) == session_id.findall(said)


def test_an_ephemeral_run_makes_no_directory(home: Home) -> None:
    answered(home.run("--ephemeral", "hello"), "hello")
    assert not home.data.exists()
    assert list(home.temporary.iterdir()) == []


def test_runs_at_once_share_a_server_and_the_last_one_stops_it(home: Home) -> None:
    home.data.mkdir(mode=0o700)
    runs = [home.run(f"prompt {number}") for number in range(3)]
    for number, command in enumerate(runs):
        answered(command, f"prompt {number}")
    assert home.servers() == []


@pytest.mark.parametrize("options", [[], ["--ephemeral"]], ids=["durable", "ephemeral"])
def test_a_run_that_is_killed_takes_its_server_with_it(home: Home, options: list[str]) -> None:
    with home.run(*options, "hello") as command:
        eventually(home.servers, 60)
        servers = home.servers()
        command.send(signal.SIGKILL)
        command.ends()
        eventually(lambda: not any(each.is_alive for each in servers), 30)
    eventually(lambda: list(home.temporary.iterdir()) == [], 30)


def test_ctrl_c_while_the_server_starts_stops_it(home: Home) -> None:
    environment = {"PATH": os.environ["PATH"], **home.environment()}
    with Terminal("-P", "-m", "cli.main", "run", "--ephemeral", "hello", environment=environment) as terminal:
        terminal.shows("starting a promptq for this run")
        eventually(lambda: list(home.temporary.glob("*/run.log")))
        terminal.interrupt()
        assert terminal.ends() == 130
    assert terminal.screen.endswith("promptq: interrupted.\n")
    assert list(home.temporary.iterdir()) == []


def test_up_is_told_what_is_in_its_way(home: Home) -> None:
    home.data.mkdir(mode=0o700)
    with home.run("hello") as command:
        eventually(lambda: "for_runs" in _lock(home), 60)
        command_line = [sys.executable, "-P", "-m", "cli.main", "up", "--port", "0", "--no-flower"]
        up = subprocess.run(command_line, env=home.environment(), check=False, capture_output=True, text=True)
        assert up.returncode == 1
        assert f"promptq is up on {home.data} for 'run' commands that are under way: process " in up.stderr
        assert command.ends(60) == 0


def _lock(home: Home) -> str:
    path = home.data / "up.lock"
    return path.read_text() if path.exists() else ""


def test_a_server_that_cannot_start_says_why(home: Home) -> None:
    with home.run("hello", CONFIG="no-such.toml") as command:
        assert command.ends(60) == 1
    assert "the promptq for this run did not start; it said:\n" in command.output
    assert "no-such.toml" in command.output
    assert "Traceback" not in command.output


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL", "BROKER_URL"])
def test_nothing_is_started_beside_somebody_elses_fleet(home: Home, name: str) -> None:
    with home.run("hello", **{name: "redis://127.0.0.1:1"}) as command:
        assert command.ends() == 1
    assert f"PROMPTQ_{name} is set, so there may be others at work" in command.output
    assert not home.data.exists()


def test_who_comes_while_a_server_is_being_stopped_waits(tmp_path: Path) -> None:
    first, second = Lock(tmp_path), Lock(tmp_path)
    first.share()
    second.share()
    assert not first.take_alone()
    assert second.take_alone()
    third = Lock(tmp_path)
    assert not third.take_alone()
    second.close()
    third.share()
    assert not first.take_alone()
    for lock in (first, third):
        lock.close()
