"""`promptq demo` from beginning to end: every part real."""

import re
from pathlib import Path

import pytest

from cli import running
from cli.supervisor.processes import Identity, identify
from tests.support.commands import Command, clean_environment
from tests.support.terminal import Terminal
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("up")  # one machine's worth of processes at a time

DEMO = ("-P", "-m", "cli.main", "demo")


def environment(temporary: Path, **settings: str) -> dict[str, str]:
    return {**clean_environment(**settings), "TMPDIR": str(temporary)}


def directories(temporary: Path) -> list[Path]:
    """Return the directories of demos that are there."""
    return list(temporary.glob("promptq-demo-*"))


def test_the_demo_shows_every_answer_once_in_order_and_leaves_nothing(tmp_path: Path) -> None:
    elsewhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "PASSWORD": "x", "URL": "http://127.0.0.1:9"}
    with Command(*DEMO, output=tmp_path / "output", environment=environment(tmp_path, **elsewhere)) as demo:
        assert demo.ends(90) == 0, demo.output
        said = demo.output
    assert "40 prompts for 8 sessions" in said
    assert re.search(r"Killed worker\d on purpose \(SIGKILL, pid \d+\) while it ran [2-9] prompts", said)
    assert re.search(r"What it ran was taken over after \d+\.\d s", said)
    assert "40 of 40 answered" in said
    rows = re.findall(r"^ses_\w{8}… .* 5  succeeded  ([\d ]+?)  \S.* s$", said, re.MULTILINE)
    assert len(rows) == 8, said
    assert "2" in "".join(rows), "the killed worker's prompts show a second attempt"
    assert "40 of 40 were known" in said
    assert "New jobs: 0, new attempts: 0." in said
    assert said.endswith("Every answer is there, once, in order.\n")
    assert "\033" not in said, "no control sequences where there is no terminal"
    assert str(tmp_path / "promptq-demo-") in said
    assert directories(tmp_path) == []


def test_ctrl_c_stops_and_removes_all_of_the_demo(tmp_path: Path) -> None:
    with Terminal(*DEMO, environment=environment(tmp_path), columns=80) as demo:
        demo.shows("of 40 answered", timeout=60)
        children = processes_in(*directories(tmp_path))
        assert len(children) >= 5
        demo.interrupt()
        assert demo.ends(30) == 130
    assert "interrupted; everything that the demo started is stopped and removed" in demo.screen
    assert "Traceback" not in demo.screen
    assert directories(tmp_path) == []
    assert [child for child in children if child.is_alive] == []


def test_no_process_of_a_killed_demo_stays(tmp_path: Path) -> None:
    with Command(*DEMO, output=tmp_path / "output", environment=environment(tmp_path)) as demo:
        demo.says("10 of 40 answered", timeout=60)
        children = processes_in(*directories(tmp_path))
        demo.process.kill()
        eventually(lambda: not any(child.is_alive for child in children), 30, what="all have ended")


def processes_in(directory: Path) -> list[Identity]:
    """Return the demo's `promptq up` and its children."""
    up = running.find(directory / "data")
    assert up is not None
    return [found for pid in (up.pid, *up.children.values()) if (found := identify(pid)) is not None]
