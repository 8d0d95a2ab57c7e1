"""The machine and the versions that figures were measured on: without them a figure says nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cli import valkey

_PACKAGES = ("celery", "kombu", "redis", "fastapi", "uvicorn", "uvloop", "sqlalchemy", "psycopg", "flower")
_SYNCS = 50


@dataclass(frozen=True)
class Machine:
    """Facts, by name, in the order they are told."""

    facts: dict[str, str]


def describe(directory: Path) -> Machine:
    """Look at this machine; `directory` is where the databases will be."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    busy = os.getloadavg()[0]
    return Machine(
        {
            "processor": f"{cores} cores, {_processor()}",
            "memory": f"{memory:.0f} GiB",
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "disk": f"{_filesystem(directory)}, {_sync_ms(directory):.2f} ms to sync a page (median)",
            "load before the run": f"{busy:.1f} (more than {cores} makes the figures doubtful)",
            "versions": ", ".join(
                [
                    f"promptq {version('promptq')}",
                    f"Python {platform.python_version()}",
                    f"SQLite {sqlite3.sqlite_version}",
                    _server_version(),
                    *(f"{name} {version(name)}" for name in _PACKAGES),
                ]
            ),
        }
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _server_version() -> str:
    said = subprocess.run([valkey.find_server(), "--version"], capture_output=True, text=True, check=False).stdout
    return "Valkey " + next((word[2:] for word in said.split() if word.startswith("v=")), "of unknown version")


def _filesystem(directory: Path) -> str:
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "a file system of unknown kind"
    found = [line.split()[1:3] for line in mounts]
    inside = [(point, kind) for point, kind in found if directory.resolve().is_relative_to(point)]
    return max(inside, key=lambda mount: len(mount[0]))[1] if inside else "a file system of unknown kind"


def _sync_ms(directory: Path) -> float:
    """How long this disk takes to keep a page: what a durable 2xx cannot be faster than."""
    took = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(_SYNCS):
            file.write(b"\0" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)
