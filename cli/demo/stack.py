"""A whole promptq of the demo's own: `promptq up` in a temporary directory, started, hurt, and removed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cli import running
from cli.called import typed
from cli.refusal import Refusal
from cli.running import Running
from cli.server_address import ServerAddress
from cli.supervisor import leash, processes, records

WORKERS = 2

LEASE_S = 2
"""Short, so that what a killed worker held runs again within seconds."""

SLOTS = 4
"""Few, so that both workers have something to do."""

_READY_WITHIN_S = 60.0
_STOPPED_WITHIN_S = 15.0
_LOOK_EVERY_S = 0.05
_LINES_QUOTED = 10


class Stack:
    """One `promptq up`. It ends with the demo, however the demo ends."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="promptq-demo-"))
        self._data = self.directory / "data"
        self._log = self.directory / "up.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Running:
        """Start everything on free ports and wait until it is ready.

        Raises:
            Refusal: it did not start; with the last that it said.
        """
        command = [
            *(sys.executable, "-P", "-m", "cli.main", "up"),
            *("--data-dir", str(self._data), "--host", "127.0.0.1", "--port", "0", "--flower-port", "0"),
            *("--workers", str(WORKERS)),
        ]
        tied = [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), str(int(signal.SIGTERM)), *command]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                tied,
                cwd=self.directory,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # the terminal's Ctrl-C is the demo's; it stops this in order
            )
        give_up_at = time.monotonic() + _READY_WITHIN_S
        while (found := running.find(self._data)) is None:
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                said = self._log.read_text("utf-8", "replace").splitlines()[-_LINES_QUOTED:]
                raise Refusal("\n  ".join([f"{typed('up')} did not start; it said:", *said]))
            time.sleep(_LOOK_EVERY_S)
        return found

    def children(self) -> dict[str, int]:
        """Return the process numbers of the children, by name, as they are now; none while they cannot be read."""
        found = running.find(self._data)
        return found.children if found is not None else {}

    def address(self, up: Running) -> ServerAddress:
        return ServerAddress(up.url, "the demo's promptq up")

    def kill(self, pid: int) -> None:
        """SIGKILL: the process has no chance to say goodbye."""
        os.kill(pid, signal.SIGKILL)

    def remove(self) -> None:
        """Stop everything in order, or by force after a while, and remove the directory."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOPPED_WITHIN_S)
            except subprocess.TimeoutExpired:
                left = records.recall_children(self._data)
                self._process.kill()
                self._process.wait()
                processes.end(left, patience_s=1.0)
        shutil.rmtree(self.directory, ignore_errors=True)


def _environment() -> dict[str, str]:
    """Return an environment in which no setting of the caller's leads to a database or a broker of theirs."""
    mine = {
        "PROMPTQ_ECHO_FAULTS": "1",
        "PROMPTQ_LEASE": str(LEASE_S),
        "PROMPTQ_CONCURRENCY": str(SLOTS),
        "PROMPTQ_GRACE": "1",
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("PROMPTQ_")} | mine
