"""How much memory a process has."""

from __future__ import annotations

import subprocess
import time

from tests.support.commands import Command


def settled_kb(process: Command, settle_s: float) -> float:
    """A process's resident memory in KB, a moment later."""
    time.sleep(settle_s)
    out = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(process.process.pid)], capture_output=True, text=True, check=True
    )
    return float(out.stdout) * 1024 / 1000
