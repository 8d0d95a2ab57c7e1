"""The loop that keeps children running, and the order in which they start and stop.

It waits in one place, is woken by signals (a child's end is one), and never works in threads: the kernel ties a
child's leash to the thread that started it.
"""

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from cli.refusal import Refusal
from cli.roles import Role
from cli.supervisor.child import Child, describe
from cli.supervisor.logs import Log, is_serious
from cli.supervisor.processes import Identity
from cli.supervisor.voice import Voice

#: Seconds between two looks when nothing happens, and while something is awaited.
_IDLE_PAUSE_S = 0.5
_BUSY_PAUSE_S = 0.02

#: A child that dies so often before it was ever ready will not come up.
_HOPELESS_AFTER = 3

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopAskedError(Exception):
    """Somebody asked the supervisor to stop."""


class Supervisor:
    """Keeps children running until it is asked to stop. To be used in a process's main thread."""

    def __init__(self, voice: Voice, *, on_change: Callable[[list[Child]], None]) -> None:
        """Begin without children.

        Args:
            voice: What happens is said by it.
            on_change: Called with the children whenever one has started: they must be found again after a crash.
        """
        self.children: list[Child] = []
        self._voice = voice
        self._on_change = on_change
        self._stops_asked = 0
        self._last_stop = signal.SIGTERM
        self._wakeup: int = -1
        self._known: set[Identity] = set()
        self._was_ready: set[str] = set()

    @property
    def exit_code(self) -> int:
        """0 after SIGTERM, as services want it; 130 after Ctrl-C."""
        return 130 if self._last_stop == signal.SIGINT else 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the process's signals for the length of a block; the first asks to stop, the second hurries."""

        def ask(number: int, _: FrameType | None) -> None:
            self._stops_asked += 1
            self._last_stop = signal.Signals(number)

        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        os.set_blocking(reading, False)
        # Whoever started us under nohup wants us to outlive the terminal.
        wanted = [number for number in _STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, ask) for number in {*wanted, signal.SIGINT}}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        before_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        self._wakeup = reading
        try:
            yield
        finally:
            signal.set_wakeup_fd(before_fd)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(reading)
            os.close(writing)

    def start(self, *children: Child, within_s: float) -> None:
        """Start children and wait until each is ready.

        Raises:
            Refusal: one keeps dying, or is not ready in time.
            StopAskedError: a signal came meanwhile.
        """
        for child in children:
            self.children.append(child)
            child.start()
        give_up_at = time.monotonic() + within_s
        while not all(child.is_ready for child in children):
            self._tick(_BUSY_PAUSE_S)
            for child in children:
                if child.backoff.deaths >= _HOPELESS_AFTER and child.name not in self._was_ready:
                    raise Refusal(_with_log(f"{child.name} does not start", child.log))
                if time.monotonic() > give_up_at and not child.is_ready:
                    raise Refusal(_with_log(f"{child.name} is not ready after {within_s:g} s", child.log))

    def finish(self, role: Role, log: Log) -> None:
        """Run a role that ends by itself, to its end.

        Raises:
            Refusal: it failed.
            StopAskedError: a signal came meanwhile; it was stopped.
        """
        child = Child(role, log, is_up=lambda _: True, patience_s=5)
        child.start()
        try:
            while child.is_running:
                self._tick(_BUSY_PAUSE_S)
            death = child.look()
            if death is not None and death.ending != 0:
                raise Refusal(_with_log(f"{role.name} failed ({describe(death.ending)})", log))
        finally:
            child.ask_to_stop()
            child.force()

    def watch(self, until: Callable[[], bool] = lambda: False) -> None:
        """Keep all children running until a signal comes, or `until` says yes.

        Raises:
            StopAskedError: a signal came.
        """
        while not until():
            self._tick(_IDLE_PAUSE_S)

    def stop(self, *groups: list[Child]) -> None:
        """Stop the children, one group after the other; whoever takes too long is killed, all are if hurried."""
        hurried_at = self._stops_asked + 1
        for group in groups:
            asked_at = time.monotonic()
            for child in group:
                child.ask_to_stop()
            while any(child.is_running for child in group) and self._stops_asked < hurried_at:
                self._wait(_BUSY_PAUSE_S)
                for child in group:
                    if child.is_running and time.monotonic() - asked_at > child.patience_s:
                        self._voice.warn(f"{child.name} did not stop within {child.patience_s:g} s: killed")
                        child.force()
            for child in group:
                child.force()

    def _tick(self, pause_s: float) -> None:
        """Wait a moment, then look at every child."""
        self._wait(pause_s)
        if self._stops_asked:
            raise StopAskedError
        for child in self.children:
            was_ready = child.is_ready
            death = child.look()
            if serious := [line for line in child.log.new_lines() if is_serious(line)]:
                self._voice.serious(child, serious)
            child.log.keep_small()
            if death is not None:
                self._voice.died(child, death)
            if child.is_ready and not was_ready:
                if child.name in self._was_ready:
                    self._voice.back(child)
                self._was_ready.add(child.name)
        self._tell_changes()

    def _tell_changes(self) -> None:
        alive = {child.identity for child in self.children if child.identity is not None}
        if alive != self._known:
            self._known = alive
            self._on_change(self.children)

    def _wait(self, seconds: float) -> None:
        """Sleep until a signal comes, for `seconds` at most."""
        select.select([self._wakeup], [], [], seconds)
        try:
            while os.read(self._wakeup, 512):
                pass
        except BlockingIOError:
            pass


def _with_log(sentence: str, log: Log) -> str:
    lines = "".join(f"\n  {line}" for line in log.last_lines(8))
    return f"{sentence}. The end of {log.path}:{lines}" if lines else f"{sentence}, and said nothing."
