"""What a person at a terminal sees of `promptq prompt`, `job` and `session`."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.client import Client
from cli.server_address import ServerAddress
from tests.support.answering_server import AnsweringServer
from tests.support.commands import clean_environment
from tests.support.terminal import Terminal


@pytest.fixture
def server() -> Iterator[AnsweringServer]:
    with AnsweringServer(answers=False) as running:
        yield running


def promptq(server: AnsweringServer, directory: Path, *arguments: str, columns: int = 80) -> Terminal:
    environment = clean_environment(URL=server.url, DATA_DIR=str(directory))
    return Terminal("-P", "-m", "cli.main", *arguments, environment=environment, columns=columns)


def test_ctrl_c_ends_the_waiting_and_says_how_to_come_back(server: AnsweringServer, tmp_path: Path) -> None:
    with promptq(server, tmp_path, "prompt", "ses_a", "wait for me") as terminal:
        terminal.shows("is queued until a worker is free")
        terminal.interrupt()
        assert terminal.ends() == 130
    assert "interrupted, but the prompt goes on; 'promptq job wait job_" in terminal.screen
    assert "Traceback" not in terminal.screen
    with Client(ServerAddress(server.url, "a test")) as client:
        assert client.jobs(limit=1)[0]["state"] == "queued"


def test_while_it_waits_it_says_what_for_and_then_only_the_answer_stays(
    server: AnsweringServer, tmp_path: Path
) -> None:
    with promptq(server, tmp_path, "prompt", "ses_a", "the answer") as terminal:
        terminal.shows("is queued until a worker is free")
        server.begin_to_answer()
        assert terminal.ends() == 0
    assert terminal.screen.endswith("\r\033[Kthe answer\n")


def test_an_answer_cannot_drive_the_terminal(server: AnsweringServer, tmp_path: Path) -> None:
    server.begin_to_answer()
    with promptq(server, tmp_path, "prompt", "ses_a", "red \033[31malert\a and\ttab") as terminal:
        assert terminal.ends() == 0
    assert "red �[31malert� and" in terminal.screen


def test_what_a_terminal_cannot_show_is_replaced(server: AnsweringServer, tmp_path: Path) -> None:
    server.begin_to_answer()
    environment = {**clean_environment(URL=server.url, DATA_DIR=str(tmp_path)), "PYTHONIOENCODING": "ascii"}
    with Terminal("-P", "-m", "cli.main", "prompt", "ses_a", "naïve 鯨", environment=environment) as terminal:
        assert terminal.ends() == 0
    assert terminal.screen.endswith("na?ve ?\n")


def test_jobs_are_a_table_that_fits(server: AnsweringServer, tmp_path: Path) -> None:
    with Client(ServerAddress(server.url, "a test")) as client:
        body = {"parts": [{"type": "text", "text": "one"}], "messageID": "msg_1"}
        job_id = client.prompt("ses_" + "long-name-" * 10, body).job_id
    with promptq(server, tmp_path, "job", "list", columns=80) as terminal:
        assert terminal.ends() == 0
    heading, _, row = (re.sub(r"\033\[[0-9;]*m", "", line) for line in terminal.screen.splitlines())
    assert heading.split() == ["job", "session", "state", "attempts", "created", "took"]
    assert row.startswith(f"{job_id}  ses_")
    assert "…" in row
    assert len(row) <= 80


def test_an_empty_list_is_said_in_words(server: AnsweringServer, tmp_path: Path) -> None:
    with promptq(server, tmp_path, "session", "list") as terminal:
        assert terminal.ends() == 0
    assert terminal.screen == "no sessions\n"


def test_without_a_prompt_nobody_waits_for_the_keyboard(server: AnsweringServer, tmp_path: Path) -> None:
    with promptq(server, tmp_path, "prompt", "ses_a") as terminal:
        assert terminal.ends() == 2
    assert "there is no prompt" in terminal.screen
