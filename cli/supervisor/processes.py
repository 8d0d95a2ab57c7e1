"""Processes told apart: a number is used again by the system, a number with its start time is not."""

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """One process, and no later one that got the same number."""

    pid: int
    #: When it started, in the system's own words; only good for comparing.
    started: str

    @property
    def is_alive(self) -> bool:
        return started_at(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still is this one."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def identify(pid: int) -> Identity | None:
    """The process that has this number now; None if there is none."""
    started = started_at(pid)
    return Identity(pid, started) if started else None


def started_at(pid: int) -> str | None:
    """When the process with this number started; None if there is none, or only its remains wait to be collected."""
    if Path("/proc/self/stat").exists():
        return _from_proc(pid)
    return _from_ps(pid)


def end(processes: list[Identity], *, patience_s: float) -> list[Identity]:
    """End processes that may not be our children: ask, wait up to `patience_s`, then force.

    Returns:
        Those that were alive.
    """
    alive = [process for process in processes if process.is_alive]
    for process in alive:
        process.send(signal.SIGTERM)
        process.send(signal.SIGCONT)
    _wait(alive, patience_s)
    for process in alive:
        process.send(signal.SIGKILL)
    _wait(alive, patience_s)
    return alive


def _wait(processes: list[Identity], seconds: float) -> None:
    give_up_at = time.monotonic() + seconds
    while any(process.is_alive for process in processes) and time.monotonic() < give_up_at:
        time.sleep(0.02)


def _from_proc(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The second field is the program's name in brackets, and may hold anything; state is the third, start the 22nd.
    fields = text.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return None if state in {"Z", "X"} else f"{boot}/{started}"


def _from_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None
