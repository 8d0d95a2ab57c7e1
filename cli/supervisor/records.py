"""What a supervisor writes down in the data directory for whoever comes after it.

`up.lock` is locked for as long as the supervisor lives, so that it is alone. `children.json` names its children, so
that after a SIGKILL the next one can end those that are left. (`up.json`, which says where it can be reached, is
`cli.running`'s.) All are readable by their owner only.
"""

import contextlib
import errno
import fcntl
import json
import os
from pathlib import Path
from typing import IO, Any

from cli.refusal import Refusal
from cli.supervisor.processes import Identity

LOCK = "up.lock"
CHILDREN = "children.json"


class AlreadyUp(Refusal):
    """Another supervisor has the directory."""


def prepare(directory: Path) -> Path:
    """Make the data directory, for its owner only, and return its absolute path.

    Raises:
        Refusal: it cannot be made or written.
    """
    path = directory.expanduser().absolute()
    try:
        is_new = not path.exists()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        if is_new:
            (path / ".gitignore").write_text("*\n", encoding="ascii")
        probe = path / ".writable"
        probe.write_bytes(b"promptq")
        probe.unlink()
    except OSError as error:
        raise Refusal(f"the data directory {path} cannot be written: {error.strerror}.") from error
    return path


class DirectoryLock:
    """The right to be the one supervisor of a data directory. The system takes it back when the process ends."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @classmethod
    def take(cls, directory: Path) -> "DirectoryLock":
        """Lock the directory.

        Raises:
            AlreadyUp: another supervisor has it; says which.
            Refusal: the system does not lock it.
        """
        path = directory / LOCK
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = file.read()
            file.close()
            if error.errno not in {errno.EAGAIN, errno.EACCES}:
                raise Refusal(f"{path} cannot be locked: {error.strerror}.") from error
            raise AlreadyUp(_taken(directory, holder)) from error
        lock = cls(file)
        lock.describe({"pid": os.getpid()})
        return lock

    def describe(self, facts: dict[str, Any]) -> None:
        """Write down who holds it, for the sentence that another one will say."""
        self._file.seek(0)
        self._file.truncate()
        json.dump(facts, self._file)
        self._file.flush()

    def release(self) -> None:
        self._file.close()


def _taken(directory: Path, holder: str) -> str:
    facts: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        facts = json.loads(holder)
    who = f"process {facts['pid']}" if "pid" in facts else "another process"
    where = f", at {facts['url']}" if "url" in facts else ""
    if facts.get("for_runs"):
        return (
            f"promptq is up on {directory} for 'run' commands that are under way: {who}{where}. "
            "It ends with the last of them; or choose another --data-dir."
        )
    return f"promptq is already up on {directory}: {who}{where}. Stop it first, or choose another --data-dir."


def write(path: Path, content: object) -> None:
    """Write JSON so that a reader sees the old or the new, whole, and nobody else reads it."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(content, file)
    new.replace(path)


def remember_children(directory: Path, children: list[Identity]) -> None:
    write(directory / CHILDREN, [[child.pid, child.started] for child in children])


def recall_children(directory: Path) -> list[Identity]:
    """The children that the last supervisor of this directory wrote down; none if it ended in order."""
    try:
        recorded = json.loads((directory / CHILDREN).read_text(encoding="utf-8"))
        return [Identity(int(pid), str(started)) for pid, started in recorded]
    except (OSError, ValueError, TypeError):
        return []
