"""One child process through its lives: started, ready, dead, started again, stopped."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NewType

from cli.roles import Role
from cli.supervisor.backoff import Backoff
from cli.supervisor.logs import Log
from cli.supervisor.processes import Identity, identify

_LEASH = Path(__file__).with_name("leash.py")

#: The exit status of a child as `subprocess` has it: negative for a signal.
Ending = NewType("Ending", int)


@dataclass(frozen=True)
class Died:
    """A child ended without being asked to."""

    ending: Ending
    #: Seconds until it is started again; None: it is not, for it has done what it was told elsewhere.
    again_in_s: float | None

    @property
    def why(self) -> str:
        return describe(self.ending)


def describe(ending: Ending) -> str:
    """An exit status in words."""
    if ending < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-ending).name}"
        return f"killed by signal {-ending}"
    return f"exit code {ending}"


class Child:
    """A role that is kept running.

    The supervisor calls `look` often; nothing here waits. Times are `time.monotonic()`.
    """

    def __init__(
        self,
        role: Role,
        log: Log,
        *,
        is_up: Callable[["Child"], bool],
        patience_s: float,
        orphan_signal: signal.Signals = signal.SIGKILL,
        may_finish: bool = False,
    ) -> None:
        """Describe a child, without starting it.

        Args:
            role: What to start.
            log: Where its output goes.
            is_up: Asked again and again after each start until it says yes; must not wait for more than a moment.
            patience_s: How long it may take to stop before it is killed.
            orphan_signal: What the kernel sends it when the supervisor dies.
            may_finish: Whether exit code 0 is its own good end, after which it is not started again.
        """
        self.role = role
        self.log = log
        self.patience_s = patience_s
        self.identity: Identity | None = None
        self.is_ready = False
        #: How often it has been started.
        self.lives = 0
        self.backoff = Backoff()
        self.started_at = 0.0
        self._is_up = is_up
        self._orphan_signal = orphan_signal
        self._may_finish = may_finish
        self._process: subprocess.Popen[bytes] | None = None
        self._start_again_at: float | None = None

    @property
    def name(self) -> str:
        return self.role.name

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def lived_s(self) -> float:
        """Seconds since its last start."""
        return time.monotonic() - self.started_at

    def start(self) -> None:
        """Start it, on a leash, in a session of its own: the terminal's Ctrl-C reaches the supervisor alone."""
        leash = [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), str(int(self._orphan_signal))]
        with self.log.open() as output:
            self._process = subprocess.Popen(
                [*leash, *self.role.command],
                env=self.role.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.identity = identify(self._process.pid)
        self.started_at = time.monotonic()
        self.is_ready = False
        self.lives += 1
        self._start_again_at = None

    def look(self) -> Died | None:
        """See how it is; start it again when it is time to.

        Returns:
            What happened, if it died since the last look.
        """
        if self._process is None:
            if self._start_again_at is not None and time.monotonic() >= self._start_again_at:
                self.start()
            return None
        ending = self._process.poll()
        if ending is None:
            self.is_ready = self.is_ready or self._is_up(self)
            return None
        return self._bury(Ending(ending))

    def ask_to_stop(self) -> None:
        """SIGTERM; it is not started again."""
        self._start_again_at = None
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGCONT)

    def force(self) -> bool:
        """SIGKILL to it and to whatever it started; then it is gone.

        Returns:
            Whether it was still running.
        """
        self._start_again_at = None
        if self._process is None:
            return False
        was_running = self._process.poll() is None
        if was_running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None
        self.identity = None
        self.is_ready = False
        return was_running

    def _bury(self, ending: Ending) -> Died:
        self.backoff = self.backoff.after_death(lived_s=self.lived_s)
        self._process = None
        self.identity = None
        self.is_ready = False
        if self._may_finish and ending == 0:
            return Died(ending, None)
        self._start_again_at = time.monotonic() + self.backoff.pause_s
        return Died(ending, self.backoff.pause_s)
