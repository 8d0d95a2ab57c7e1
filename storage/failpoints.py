"""Places where a test can make a process die, fail, wait or freeze: around commits, publishes, claims and finishes.

Nothing here acts unless the environment variable `PROMPTQ_FAILPOINTS` was set when the process started. Its value is a
comma-separated list of `NAME=ACTION` or `NAME=ACTION@N` (only the N-th time, counted from 1), with the actions

- `kill`: SIGKILL to this process, as an out-of-memory killer would;
- `raise`: a `FailpointError`;
- `sleep:SECONDS`;
- `stop`: SIGSTOP to this process, as a frozen machine.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

VARIABLE = "PROMPTQ_FAILPOINTS"


class FailpointError(RuntimeError):
    """What the action `raise` raises."""


def _parse(text: str) -> dict[str, tuple[str, int | None]]:
    points = {}
    for item in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, rest = item.partition("=")
        action, _, nth = rest.partition("@")
        if action not in {"kill", "raise", "stop"} and not action.startswith("sleep:"):
            message = f"{VARIABLE}: unknown action {action!r} for {name!r}"
            raise ValueError(message)
        points[name] = (action, int(nth) if nth else None)
    return points


def _armed(points: dict[str, tuple[str, int | None]]) -> Callable[[str], None]:
    hits: dict[str, int] = {}
    lock = threading.Lock()

    def failpoint(name: str) -> None:
        if name not in points:
            return
        action, nth = points[name]
        with lock:
            hits[name] = hits.get(name, 0) + 1
            if nth is not None and hits[name] != nth:
                return
        match action.partition(":"):
            case ("kill", _, _):
                os.kill(os.getpid(), signal.SIGKILL)
            case ("stop", _, _):
                os.kill(os.getpid(), signal.SIGSTOP)
            case ("raise", _, _):
                raise FailpointError(name)
            case (_, _, seconds):
                time.sleep(float(seconds))

    return failpoint


def _unarmed(name: str) -> None:
    """Do nothing."""


failpoint = _armed(_parse(os.environ[VARIABLE])) if os.environ.get(VARIABLE) else _unarmed
"""Call with a name at a place where the world may end."""
