"""Names of runs of workers, and which of them are surely over.

A run is called `{worker}:{process ID}:{32 random bits}`. No two workers that live have the same name (Celery's, such as
`worker1@host`, which has the host in it). So a worker that starts knows that leases under its own name are a
predecessor's, whose process has ended, unless that process is still there: then the two were named alike by mistake.
"""

from __future__ import annotations

import os
import secrets
import socket


def new_worker_id(name: str | None = None) -> str:
    """Name this run of this process; without a name it has the host's."""
    return f"{name or socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def is_predecessor(other: str, mine: str) -> bool:
    """Tell whether another run was one of the worker that this process is now, and has ended.

    Both are on this host. (Containers may share its name and not its processes; their workers need names of their own.)
    """
    name, _, rest = other.partition(":")
    pid = rest.partition(":")[0]
    if other == mine or name != mine.partition(":")[0] or not pid.isdigit():
        return False
    return int(pid) == os.getpid() or not _is_there(int(pid))


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
