"""`up.json` in the data directory: where a running `promptq up` can be reached.

The supervisor writes it once everything answers and removes it when it stops; the client commands read it.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cli.supervisor import records
from cli.supervisor.processes import Identity

NAME = "up.json"


@dataclass(frozen=True)
class Running:
    """A `promptq up` that has said it is ready."""

    pid: int
    #: When the process started, for telling it from a later one with the same number.
    started: str
    #: Of the API, without a slash at the end.
    url: str
    #: Of Flower; None if it does not run.
    flower: str | None
    data_dir: str
    #: The socket of its embedded Redis; None if it has none of its own.
    socket: str | None = None
    #: Names of children and their process numbers.
    children: dict[str, int] = field(default_factory=dict)
    #: Whether it was started by `promptq run`, and ends with the last of those that use it.
    for_runs: bool = False


def publish(directory: Path, running: Running) -> None:
    records.write(directory / NAME, asdict(running))


def withdraw(directory: Path) -> None:
    (directory / NAME).unlink(missing_ok=True)


def find(directory: Path) -> Running | None:
    """The `promptq up` of this data directory, if it runs and is ready."""
    try:
        running = Running(**json.loads((directory / NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return running if Identity(running.pid, running.started).is_alive else None
