"""A promptq of the runs' own, for those who have none: started by the first run, shared, and stopped by the last.

Every run that uses what is in a data directory holds a lock there, shared with the others. The system takes it back
however a run ends. A server that was started for runs ends by itself as soon as nobody holds the lock; a run that ends
in order and finds itself to be the last one waits for that. It must not know what is asked of the server.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from cli import running
from cli.refusal import Refusal
from cli.running import Running
from cli.supervisor.processes import Identity, identify

LOCK = "run.lock"
LOG = "run.log"

TAKEN = 75
"""The exit code of a server that found another one in its directory."""

_READY_WITHIN_S = 60.0
_STOPPED_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.03
_AGAIN_AFTER_S = 0.5
_LINES_QUOTED = 10


class Host(Protocol):
    """Who talks to the person while a server is started and stopped."""

    def say(self, what: str) -> None:
        """Say what takes a while."""

    def notice(self, sentence: str) -> None:
        """Say what is worth a line."""

    def pause(self, seconds: float) -> None:
        """Sleep, and show that it goes on."""


class Lock:
    """The lock of those who use what is in a directory."""

    def __init__(self, directory: Path) -> None:
        """Open it; nothing is locked yet."""
        path = directory / LOCK
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refusal(f"{path} cannot be opened: {error.strerror}.") from error

    def share(self) -> None:
        """Use what is there, with others; wait while it is being stopped."""
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def take_alone(self) -> bool:
        """Be the only one, if nobody else uses it. What was shared is given up in any case."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give up what is held."""
        os.close(self._file)


@contextmanager
def lodging(directory: Path, *, temporary: bool, host: Host) -> Iterator[Running]:
    """Use the promptq of a data directory for the length of a block; start one if none is up.

    Args:
        directory: it exists.
        temporary: whether it is removed when its server ends.
        host: is told what takes long.

    Raises:
        Refusal: none is up, and none can be started; with the last that it said.
    """
    lock = Lock(directory)
    process: subprocess.Popen[bytes] | None = None
    try:
        lock.share()
        up = running.find(directory)
        if up is None:
            host.say("starting a promptq for this run")
            process = _Starting(directory, host, temporary=temporary).run()
            up = running.find(directory)
        if up is None:
            raise Refusal(f"the promptq in {directory} has ended.")
        try:
            yield up
        finally:
            if up.for_runs and lock.take_alone():
                host.say("stopping the promptq of this run")
                _stop(Identity(up.pid, up.started), host)
                if process is not None:
                    process.poll()
    finally:
        lock.close()


class _Starting:
    """Starts a server; another run, or somebody's `promptq up`, may be doing the same."""

    def __init__(self, directory: Path, host: Host, *, temporary: bool) -> None:
        self._directory = directory
        self._log = directory / LOG
        self._host = host
        self._command = [
            *(sys.executable, "-P", "-m", "cli.run.own_server", str(directory)),
            *(["--temporary"] if temporary else []),
        ]

    def run(self) -> subprocess.Popen[bytes] | None:
        """Return once one is up: the process, if it is ours."""
        give_up_at = time.monotonic() + _READY_WITHIN_S
        process, began = self._start(), time.monotonic()
        try:
            while running.find(self._directory) is None:
                ended = process.poll()
                if ended == TAKEN and time.monotonic() - began > _AGAIN_AFTER_S:
                    process, began = self._start(), time.monotonic()
                self._check(ended, is_late=time.monotonic() > give_up_at)
                self._host.pause(_LOOK_EVERY_S)
        except BaseException:
            server = identify(process.pid) if process.poll() is None else None
            if server is not None:
                _stop(server, self._host)
            process.poll()
            raise
        return process if process.poll() is None else None

    def _check(self, ended: int | None, *, is_late: bool) -> None:
        if ended not in (None, TAKEN):
            raise Refusal(self._said("did not start"))
        if is_late:
            raise Refusal(self._said("is not ready in time"))

    def _start(self) -> subprocess.Popen[bytes]:
        # A session of its own: the terminal's Ctrl-C is the run's.
        with os.fdopen(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as log:
            return subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _said(self, what: str) -> str:
        try:
            said = self._log.read_text("utf-8", "replace").splitlines()[-_LINES_QUOTED:]
        except OSError:
            said = []
        lines = [line.removeprefix("promptq: ") for line in said]
        return "\n  ".join([f"the promptq for this run {what}{'; it said:' if lines else '.'}", *lines])


def _stop(server: Identity, host: Host) -> None:
    """Stop a server and wait for its end; what takes too long ends by itself later."""
    server.send(signal.SIGTERM)
    give_up_at = time.monotonic() + _STOPPED_WITHIN_S
    while server.is_alive and time.monotonic() < give_up_at:
        host.pause(_LOOK_EVERY_S)
