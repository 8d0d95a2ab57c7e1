"""How many clients a process may have at once: each is an open file."""

from __future__ import annotations

import contextlib
import resource

ENOUGH = 65_536


def allow_many() -> None:
    """Raise the limit of open files as far as this process may: many systems begin at 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if resource.RLIM_INFINITY != soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # some systems have a limit beyond the one that they tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
