"""What a person at a terminal sees of `promptq run`, and what Ctrl-C and other signals do."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from executors.base import Event, ReasoningDelta, Request, TextDelta, ToolCall, TransientError
from tests.api.following import House
from tests.support.commands import clean_environment
from tests.support.proxy import Proxy, Weather
from tests.support.terminal import Terminal
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.scripted import END, Gate

INTERRUPTED, TERMINATED = 130, 143


def run(
    house: House,
    directory: Path,
    *arguments: str,
    columns: int = 80,
    url: str | None = None,
    environment: dict[str, str] | None = None,
) -> Terminal:
    settings = clean_environment(URL=url or house.url, DATA_DIR=str(directory))
    return Terminal(
        *("-P", "-m", "cli.main", "run", *arguments), environment={**settings, **(environment or {})}, columns=columns
    )


@pytest.fixture
def gate(house: House) -> Iterator[Gate]:
    """What answers the prompt `wait`: half of it, and the other half when the test opens it."""
    script = house.scripts["wait"] = Gate()
    yield script
    script.open()


def plain(screen: str) -> str:
    """What was written, without colours and without lines that were written over."""
    return re.sub(r"\r\033\[K[^\n]*?(?=\r\033\[K)|\r?\033\[[0-9;]*[mK]", "", screen)


def job_of(house: House, **query: str) -> dict[str, Any]:
    jobs: list[dict[str, Any]] = house.client.get("/job", params=query).json()
    return jobs[0]


def session_ids(house: House) -> list[str]:
    listed = house.client.get("/session", params={"ephemeral": "true"}).json()
    return [session["id"] for session in listed]


# Watching


def test_the_answer_appears_as_it_grows(house: House, tmp_path: Path, gate: Gate) -> None:
    with run(house, tmp_path, "wait") as terminal:
        terminal.shows("half")
        assert "whole" not in terminal.screen
        gate.open()
        assert terminal.ends() == 0
    shown = plain(terminal.screen)
    assert shown.endswith("\n\nhalf whole\n"), shown
    assert shown.startswith("> build · echo/echo · ses_")


def test_reasoning_and_answer_are_told_apart(house: House, tmp_path: Path) -> None:
    async def thinks(_: Request) -> AsyncIterator[Event]:
        yield ReasoningDelta("\n\nLet me ")
        yield ReasoningDelta("see.\n")
        yield TextDelta("\nYes.\n\n")
        yield END

    house.scripts["think"] = thinks
    with run(house, tmp_path, "think") as terminal:
        assert terminal.ends() == 0
    assert plain(terminal.screen).endswith("\n\nThinking: Let me see.\n\nYes.\n"), terminal.screen
    assert "\033[2;3mLet me see." in terminal.screen


def test_while_it_is_queued_people_are_told_what_for(house: House, tmp_path: Path, gate: Gate) -> None:
    first = house.prompt("wait", "ses_busy").headers["location"].rpartition("/")[2]
    eventually(lambda: gate.reached)
    with run(house, tmp_path, "--session", "ses_busy", "second") as terminal:
        terminal.shows(f"queued behind {first}")
        gate.open()
        assert terminal.ends() == 0
    assert plain(terminal.screen).endswith("\n\nsecond\n"), terminal.screen
    assert "half" not in terminal.screen


def test_what_is_written_over_fits_the_terminal(house: House, tmp_path: Path, gate: Gate) -> None:
    house.prompt("wait", "ses_busy")
    eventually(lambda: gate.reached)
    with run(house, tmp_path, "-s", "ses_busy", "second", columns=30) as terminal:
        terminal.shows("queued behind")
        gate.open()
        assert terminal.ends() == 0
    drawn = re.findall(r"\r\033\[K([^\r\n]*)\r\033\[K", terminal.screen)
    assert drawn
    assert all(len(re.sub(r"\033\[[0-9;]*m", "", line)) < 30 for line in drawn)


def test_while_a_failed_attempt_backs_off_people_are_told_until_when(house: House, tmp_path: Path) -> None:
    gate = Gate()

    async def busy(request: Request) -> AsyncIterator[Event]:
        async for event in gate(request):
            yield event
            if request.job.attempt == 1 and gate.is_open:
                raise TransientError("busy", "come back", retry_after_s=1.5)

    house.scripts["busy"] = busy
    with run(house, tmp_path, "busy") as terminal:
        terminal.shows("half")
        gate.open()
        terminal.shows(", for attempt 2")
        assert terminal.ends() == 0
    shown = plain(terminal.screen)
    assert re.search(r"\n\nhalf (whole)?\nthe attempt broke off; the answer begins anew\n", shown), shown
    assert shown.endswith("\n\nhalf whole\n"), shown


def test_a_tools_input_cannot_drive_the_terminal_either(house: House, tmp_path: Path) -> None:
    async def hostile(_: Request) -> AsyncIterator[Event]:
        yield ToolCall("c1", "bash", {"command": "echo\n\033[2J größe"})
        await asyncio.Event().wait()

    house.scripts["attack"] = hostile
    with run(house, tmp_path, "attack") as terminal:
        terminal.shows("running $ echo \ufffd[2J größe")
        terminal.interrupt()
        assert terminal.ends() == INTERRUPTED
    assert "$ echo\n\ufffd[2J größe\ninterrupted\n" in plain(terminal.screen)
    assert "\033[2J" not in terminal.screen


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_nobody_wants_them(
    house: House, tmp_path: Path, environment: dict[str, str]
) -> None:
    with run(house, tmp_path, "hello", environment=environment) as terminal:
        assert terminal.ends() == 0
    assert not re.search(r"\033\[[0-9;]*m", terminal.screen)
    if "TERM" in environment:
        assert "\033" not in terminal.screen
    assert "hello" in terminal.screen


def test_an_answer_cannot_drive_the_terminal(house: House, tmp_path: Path) -> None:
    async def hostile(_: Request) -> AsyncIterator[Event]:
        yield TextDelta("\033]0;owned\007\033[2J")
        yield END

    house.scripts["attack"] = hostile
    with run(house, tmp_path, "attack") as terminal:
        assert terminal.ends() == 0
    assert "\ufffd]0;owned\ufffd\ufffd[2J" in terminal.screen


# Breaking


@contextmanager
def behind_a_proxy(house: House) -> Iterator[Proxy]:
    with Proxy(house.served.port) as proxy:
        yield proxy


def test_a_stream_that_breaks_is_resumed_and_nothing_is_shown_twice(house: House, tmp_path: Path, gate: Gate) -> None:
    with behind_a_proxy(house) as proxy, run(house, tmp_path, "wait", url=f"http://127.0.0.1:{proxy.port}") as terminal:
        terminal.shows("half")
        for _ in range(3):
            proxy.become(Weather.CUT)
            proxy.become(Weather.FAIR)
            eventually(lambda: proxy.connections)
        gate.open()
        assert terminal.ends() == 0
    assert plain(terminal.screen).endswith("\n\nhalf whole\n"), terminal.screen


def test_a_server_that_is_away_for_a_while_is_waited_for(house: House, tmp_path: Path, gate: Gate) -> None:
    with behind_a_proxy(house) as proxy, run(house, tmp_path, "wait", url=f"http://127.0.0.1:{proxy.port}") as terminal:
        terminal.shows("half")
        proxy.become(Weather.CUT)
        gate.open()
        eventually(lambda: job_of(house)["state"] == "succeeded")
        proxy.become(Weather.FAIR)
        assert terminal.ends() == 0
    assert plain(terminal.screen).endswith("\n\nhalf whole\n"), terminal.screen


def test_what_no_event_tells_is_read_from_what_is_kept(
    house: House, valkey: ValkeyServer, tmp_path: Path, gate: Gate
) -> None:
    with run(house, tmp_path, "wait") as terminal:
        terminal.shows("half")
        valkey.kill()
        gate.open()
        assert terminal.ends() == 0
    assert plain(terminal.screen).endswith("\n\nhalf whole\n"), terminal.screen


# Stopping


def test_ctrl_c_cancels_the_prompt_and_says_so(house: House, tmp_path: Path, gate: Gate) -> None:
    with run(house, tmp_path, "-s", "ses_a", "wait") as terminal:
        terminal.shows("half")
        terminal.interrupt()
        assert terminal.ends() == INTERRUPTED
    assert "cancelling the prompt; Ctrl-C again leaves at once" in terminal.screen
    assert terminal.screen.endswith("promptq: the prompt is cancelled.\n")
    assert job_of(house)["state"] == "cancelled"
    with run(house, tmp_path, "-s", "ses_a", "and then") as terminal:
        assert terminal.ends() == 0


def test_a_second_ctrl_c_leaves_at_once(house: House, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def stubborn(_: Request) -> AsyncIterator[Event]:
        yield TextDelta("begun")
        try:
            await gate.wait()
        except asyncio.CancelledError:
            await gate.wait()
        yield END

    house.scripts["stay"] = stubborn
    with run(house, tmp_path, "-s", "ses_a", "stay") as terminal:
        terminal.shows("begun")
        terminal.interrupt()
        terminal.shows("cancelling the prompt")
        terminal.interrupt()
        assert terminal.ends() == INTERRUPTED
    assert "left; the prompt may go on: 'promptq job list --session ses_a' tells.\n" in terminal.screen


def test_sigterm_cancels_the_prompt_too(house: House, tmp_path: Path, gate: Gate) -> None:
    with run(house, tmp_path, "wait") as terminal:
        terminal.shows("half")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.ends() == TERMINATED
    assert job_of(house)["state"] == "cancelled"


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, INTERRUPTED), (signal.SIGTERM, TERMINATED), (signal.SIGHUP, TERMINATED)],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_an_ephemeral_run_that_is_stopped_leaves_nothing(
    house: House, tmp_path: Path, gate: Gate, number: signal.Signals, code: int
) -> None:
    with run(house, tmp_path, "--ephemeral", "wait") as terminal:
        terminal.shows("half")
        (session_id,) = session_ids(house)
        terminal.process.send_signal(number)
        assert terminal.ends() == code
    assert "the prompt is cancelled, and its ephemeral session is gone." in terminal.screen
    assert session_ids(house) == []
    assert house.client.get(f"/session/{session_id}").status_code == 404


def test_an_ephemeral_run_that_waits_in_the_queue_can_be_left(house: House, tmp_path: Path) -> None:
    for engine in house.engines:
        engine.stop()
    with run(house, tmp_path, "--ephemeral", "hello") as terminal:
        terminal.shows("queued until a worker is free")
        terminal.interrupt()
        assert terminal.ends() == INTERRUPTED
    assert session_ids(house) == []
