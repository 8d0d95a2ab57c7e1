"""Appending to a configuration file so that it is always whole.

The lines go in place to the end of the file: it keeps its owner, its mode, its links and its comments. (A new file put
in its place would keep none of them, and cannot be where a container has the file mounted.)
"""

import errno
import fcntl
import os
from pathlib import Path

from cli.exits import CommandError
from domain.configuration import ConfigurationInvalid, parse


def append(path: Path, block: str) -> None:
    """Put lines at the end of a configuration file; one that is missing is made, for its owner only.

    Atomic among callers: each waits for the others. Either all lines are in the file and on disk, or none.

    Raises:
        CommandError: the file cannot be written, or is not one that promptq would start with. It is as it was.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CommandError(f"{path} cannot be written, and no key was made: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _append(descriptor, path, block)
    except ConfigurationInvalid as error:
        raise CommandError(f"no key was made, because promptq would not start with this file: {error}.") from error
    except OSError as error:
        raise CommandError(f"{path} cannot be written, and no key was made: {error.strerror}.") from error
    finally:
        os.close(descriptor)


def _append(descriptor: int, path: Path, block: str) -> None:
    size = os.fstat(descriptor).st_size
    before = os.pread(descriptor, size, 0)
    parse(before, path)
    gap = "" if not before else "\n" if before.endswith(b"\n") else "\n\n"
    added = (gap + block).encode()
    parse(before + added, path)
    try:
        _write(descriptor, added)
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _write(descriptor: int, added: bytes) -> None:
    if os.write(descriptor, added) < len(added):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(descriptor)
