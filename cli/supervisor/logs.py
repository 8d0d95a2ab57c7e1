"""The children's output: into files, with what a person should see at once picked out of them.

A child writes into its file itself, so it never waits for the supervisor and loses nothing when that one dies.
"""

import os
import re
import shutil
from pathlib import Path
from typing import IO

#: Lines that a terminal shows: those that say that they are serious. Valkey marks its warnings by a lone "#".
_SERIOUS = re.compile(r"\b(warn|warning|error|critical|fatal)\b|^\d+:\w .{20,30} # ", re.IGNORECASE)

#: Serious for a server that saves to disk, which ours does not.
_HARMLESS = "Memory overcommit must be enabled"

#: How far into a line its level is looked for: a message may speak of errors without being one.
_LEVEL_WITHIN = 120

#: Longest part of a log that is read at once, in bytes.
_CHUNK = 256 * 1024

#: A log that has grown larger while its child runs is put aside, in bytes.
LARGEST = 64 * 1024 * 1024


class Log:
    """The log file of one child."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._rest = b""
        self._life_began = 0

    def rotate(self) -> None:
        """Put the last run's log aside, once, as `NAME.log.1`."""
        if self.path.exists():
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
        self._position, self._rest = 0, b""

    def keep_small(self) -> None:
        """Put a log that has become too large aside, as `NAME.log.1`; the child goes on writing into an empty one.

        What it writes in the moment between the copy and the cut is lost.
        """
        size = self._size()
        if size < max(self._position, self._life_began):  # somebody else has cut it
            self._begin_anew()
        if size > LARGEST:
            shutil.copyfile(self.path, self.path.with_name(f"{self.path.name}.1"))
            self.path.with_name(f"{self.path.name}.1").chmod(0o600)
            os.truncate(self.path, 0)
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._position, self._rest, self._life_began = 0, b"", 0

    def _size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def open(self) -> IO[bytes]:
        """The file, to be given to a child as its output: a new life begins in it."""
        self._life_began = self._size()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "ab", buffering=0)

    def new_lines(self) -> list[str]:
        """The whole lines written since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                written = file.read(_CHUNK)
        except FileNotFoundError:
            return []
        self._position += len(written)
        *lines, self._rest = (self._rest + written).split(b"\n")
        return [line.decode("utf-8", errors="replace") for line in lines]

    def this_life(self) -> list[str]:
        """The first lines that the child has written since it was last started."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._life_began)
                return file.read(_CHUNK).decode("utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def last_lines(self, count: int) -> list[str]:
        """The last lines of this life that say something."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(self._life_began, file.seek(0, os.SEEK_END) - _CHUNK))
                text = file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [line for line in text.splitlines() if line.strip()][-count:]


def is_serious(line: str) -> bool:
    """Whether a person should see this line at once."""
    return _SERIOUS.search(line[:_LEVEL_WITHIN]) is not None and _HARMLESS not in line
