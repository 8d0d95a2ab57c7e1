"""The supervisor's loop, with real processes that only play their parts."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from cli.supervisor.processes import Identity, end, identify
from cli.supervisor.records import recall_children
from tests.support.commands import Command
from tests.support.waiting import eventually

#: Children. SIGTERM ends the polite one and is noted by the stubborn one, which goes on.
POLITE = "import time; print('up'); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('no')); print('up'); time.sleep(600)"
HOPELESS = "import sys; sys.exit('there is no such database')"
NOTING = """
import signal, sys, time
def note(*_):
    print("asked at", time.monotonic_ns())
    sys.exit()
signal.signal(signal.SIGTERM, note)
print("up")
time.sleep(600)
"""


@pytest.fixture
def start(tmp_path: Path) -> "Start":
    return Start(tmp_path)


class Start:
    """Starts toy supervisors in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(self, **programs: str) -> Command:
        arguments = [f"{name}={source}" for name, source in programs.items()]
        return Command(
            *("-m", "tests.cli.toy_supervisor", str(self.directory), *arguments), output=self.directory / "output"
        )

    def children(self) -> list[Identity]:
        return recall_children(self.directory)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()


def test_a_child_that_dies_is_started_again_and_said_so(start: Start) -> None:
    with start(one=POLITE, two=POLITE) as supervisor:
        supervisor.says("all up")
        victim, other = start.children()
        os.kill(victim.pid, signal.SIGKILL)
        supervisor.says("one died (killed by SIGKILL); starting it again in 0.5 s")
        supervisor.says("one is back (start 2")
        assert other.is_alive
        assert victim not in start.children()


def test_the_last_words_of_a_dead_child_are_shown(start: Start) -> None:
    with start(
        one="import os, time; print('up'); os.path.exists('x'); time.sleep(0.3); exit('my last words')"
    ) as supervisor:
        supervisor.says("one died (exit code 1)")
        supervisor.says("one      | my last words")


def test_the_pauses_between_starts_grow(start: Start) -> None:
    with start(one="import time; print('up'); time.sleep(0.2)") as supervisor:
        supervisor.says("again in 0.5 s")
        supervisor.says("again in 1 s")
        supervisor.says("again in 2 s")


def test_children_stop_in_order_and_nothing_is_left(start: Start) -> None:
    with start(one=NOTING, two=NOTING) as supervisor:
        supervisor.says("all up")
        children = start.children()
        supervisor.send(signal.SIGTERM)
        assert supervisor.ends() == 0
        assert not any(child.is_alive for child in children)
        first, second = (int(start.log(name).split()[-1]) for name in ("one", "two"))
        assert first < second


def test_ctrl_c_ends_with_130(start: Start) -> None:
    with start(one=POLITE) as supervisor:
        supervisor.says("all up")
        supervisor.send(signal.SIGINT)
        assert supervisor.ends() == 130


def test_a_child_that_does_not_stop_in_time_is_killed_and_said_so(start: Start) -> None:
    with start(one=STUBBORN) as supervisor:
        supervisor.says("all up")
        supervisor.send(signal.SIGTERM)
        assert supervisor.ends() == 0
        assert "one did not stop within 1 s: killed" in supervisor.output
        assert "no" in start.log("one")


def test_a_second_ctrl_c_hurries(start: Start) -> None:
    with start(one=STUBBORN, two=STUBBORN, three=STUBBORN) as supervisor:
        supervisor.says("all up")
        supervisor.send(signal.SIGINT)
        supervisor.says("stopping")
        began = time.monotonic()
        supervisor.send(signal.SIGINT)
        supervisor.ends()
        assert time.monotonic() - began < 2.5  # unhurried, each takes its second
        assert "did not stop" not in supervisor.output


def test_a_child_that_never_comes_up_ends_the_start_with_its_last_words(start: Start) -> None:
    with start(one=POLITE, two=HOPELESS) as supervisor:
        assert supervisor.ends() == 1
        assert "two does not start." in supervisor.output
        assert "there is no such database" in supervisor.output
        assert not any(child.is_alive for child in start.children())


def test_a_stop_during_the_start_stops_what_has_started(start: Start) -> None:
    with start(one="import time; print('on the way'); time.sleep(600)") as supervisor:
        eventually(start.children)
        children = start.children()
        supervisor.send(signal.SIGTERM)
        assert supervisor.ends() == 0
        assert not any(child.is_alive for child in children)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start ends them")
def test_no_child_outlives_a_supervisor_that_is_killed(start: Start) -> None:
    with start(one=POLITE, two=STUBBORN) as supervisor:
        supervisor.says("all up")
        children = start.children()
        assert len(children) == 2
        supervisor.send(signal.SIGKILL)
        supervisor.ends()
        eventually(lambda: not any(child.is_alive for child in children))


def test_what_a_child_has_started_goes_with_it_when_it_is_killed(start: Start) -> None:
    source = (
        "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid);"
        "print('up'); time.sleep(600)"
    )
    with start(one=source) as supervisor:
        supervisor.says("all up")
        grandchild = identify(int(start.log("one").split()[0]))
        assert grandchild is not None
        supervisor.send(signal.SIGTERM)
        supervisor.ends()
        eventually(lambda: not grandchild.is_alive)


def test_warnings_and_errors_of_children_are_shown_and_nothing_else(start: Start) -> None:
    source = "import time; print('up'); print('INFO: error-free'[:4]); print('ERROR disk full'); time.sleep(600)"
    with start(one=source) as supervisor:
        output = supervisor.says("one      | ERROR disk full")
        assert "INFO" not in output


def test_a_later_process_with_the_same_number_is_left_alone() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert me.is_alive
    impostor = Identity(me.pid, "long ago")
    assert not impostor.is_alive
    assert end([impostor], patience_s=0.1) == []


def test_nohup_keeps_it_running_when_the_terminal_goes(start: Start) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what the process inherits, as nohup does it
    try:
        supervisor = start(one=POLITE)
    finally:
        signal.signal(signal.SIGHUP, before)
    with supervisor:
        supervisor.says("all up")
        supervisor.send(signal.SIGHUP)
        os.kill(start.children()[0].pid, signal.SIGKILL)
        supervisor.says("one is back")


def test_a_closed_terminal_stops_it_in_order(start: Start) -> None:
    with start(one=POLITE) as supervisor:
        supervisor.says("all up")
        supervisor.send(signal.SIGHUP)
        assert supervisor.ends() == 0
