"""The client's commands against a real `promptq up`, which they find by its data directory."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import running
from tests.support.cli_runs import Promptq
from tests.support.commands import Command, clean_environment
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("up")  # one machine's worth of processes at a time

ALONE = ("-P", "-m", "cli.main", "up", "--port", "0", "--no-flower", "--quiet")


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """The data directory of a promptq that is up."""
    directory = tmp_path / "data"
    environment = clean_environment(DATA_DIR=str(directory))
    with Command(*ALONE, output=tmp_path / "output", environment=environment) as up:
        eventually(lambda: running.find(directory), 60, what=f"up is ready; it says {up.output!r}")
        yield directory


@pytest.fixture
def promptq(data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Promptq:
    for name in [name for name in os.environ if name.startswith("PROMPTQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PROMPTQ_DATA_DIR", str(data))
    return Promptq(monkeypatch, capsys)


def test_a_session_is_made_used_and_resumed_across_the_loss_of_the_api(promptq: Promptq, data: Path) -> None:
    session = promptq.does("session", "id", "reviewer", "repository=harbor")
    assert promptq.does("prompt", session, "What changed?") == "What changed?"

    found = running.find(data)
    assert found is not None
    os.kill(found.children["api"], signal.SIGKILL)
    after = promptq("prompt", session, "And while nobody listens?", "--json")
    assert after.code == 0, after
    assert after.err.count("trying again") <= 1
    assert (after.json["text"], after.json["session"]) == ("And while nobody listens?", "resumed")

    jobs = promptq("job", "list", "--session", session).rows
    assert [job[2:4] for job in jobs] == [["succeeded", "1"]] * 2
    assert len(promptq("session", "show", session, "--json").json["messages"]) == 4
