"""A history in files: one JSON object a line, `[kind, fields…]`, written as things happen, by many processes.

A line that its writer did not finish (it was killed) is left out: nobody was told of it.
"""

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import astuple, fields, is_dataclass
from pathlib import Path
from typing import Any, Self

from tests.support import history
from tests.support.history import Attempt, Call, History, Job, Look, Seen

_KINDS = {name: kind for name, kind in vars(history).items() if is_dataclass(kind) and isinstance(kind, type)}

#: Where each kind of record is in a history.
_PLACES = {
    "Submission": "submissions",
    "Call": "calls",
    "Look": "looks",
    "Job": "jobs",
    "Prompt": "prompts",
    "Answer": "answers",
    "Wish": "wishes",
    "Sighting": "sightings",
    "Assembled": "assembled",
    "Trace": "traces",
    "Fault": "faults",
    "KeptSession": "sessions",
}


class Records:
    """Writes records to a file of its own. Safe to use from many threads. A context manager."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()

    def write(self, *records: object) -> None:
        """Append records; they are in the file when this returns."""
        lines = [json.dumps([type(record).__name__, *_values(record)]) + "\n" for record in records]
        with self._lock:
            self._file.writelines(lines)
            self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(directory: Path, **more: Any) -> History:
    """Read all files of a directory as one history; `more` are its other fields."""
    found: dict[str, Any] = {place: [] for place in _PLACES.values()}
    for path in sorted(directory.glob("*.jsonl")):
        for record in _records(path):
            found[_PLACES[type(record).__name__]].append(record)
    found["looks"].sort(key=lambda look: look.at)
    return History(**found, **more)


def _records(path: Path) -> Iterator[object]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):
                name, *values = json.loads(line)
                yield _revived(_KINDS[name], values)


def _values(record: object) -> Iterable[object]:
    return astuple(record)  # type: ignore[call-overload, no-any-return]


def _revived(kind: type[Any], values: list[Any]) -> object:
    if kind is Look:
        return Look(values[0], [Seen(*each) for each in values[1]])
    names = [field.name for field in fields(kind)]
    given = dict(zip(names, values, strict=True))
    if kind is Job:
        given["attempts"] = tuple(Attempt(*each) for each in given["attempts"])
    elif kind is Call:
        given["shown"] = tuple((said, answered) for said, answered in given["shown"])
    return kind(**given)
