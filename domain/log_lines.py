"""Log records as lines: one line each, as text for people or JSON for programs, and never any content.

promptq's own records have an event's name and its fields. What other libraries say is not theirs to judge, so only the
first line of it is kept, none of their fields (Celery adds a task's arguments), and of an exception its type and the
places that it went through, but not its words: they may repeat what it choked on.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, TextIO

from domain.redaction import redacted

_log = logging.getLogger(__name__)

LogFormat = Literal["text", "json"]

OWN = frozenset({"api", "cli", "domain", "executors", "storage", "tasks"})
"""promptq's packages: the first words of its loggers' names."""

CHATTY = frozenset({"celery", "uvicorn"})
"""Others whose ordinary records say what an operator wants to know."""

MOST_PLACES = 20
"""Lines of code that are told of an exception, the innermost first."""

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record says: `time`, `level`, `logger`, `event`, then its own fields."""
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": record.getMessage(),
    }
    if is_own(record.name):
        fields |= {name: value for name, value in vars(record).items() if name not in _PLAIN and name not in fields}
    else:
        fields["event"] = next((line for line in fields["event"].splitlines() if line.strip()), "")
    if record.exc_info and record.exc_info[0] is not None:
        fields.setdefault("error", record.exc_info[0].__name__)
        fields.setdefault("at", places_of(record.exc_info[2]))
    return fields


def text_line(fields: Mapping[str, Any]) -> str:
    """Write `time level logger event name=value …`."""
    time, level, logger, event, *more = fields.items()
    line = [str(value) for _, value in (time, level, logger, event)]
    return " ".join([*line, *(f"{name}={value!s}" for name, value in more)]).replace("\n", "\\n")


def json_line(fields: Mapping[str, Any]) -> str:
    """Write one JSON object."""
    return json.dumps(fields, ensure_ascii=False, default=str)


WRITERS = {"text": text_line, "json": json_line}


class Lines(logging.Formatter):
    """Formats records as lines."""

    def __init__(self, log_format: LogFormat) -> None:
        super().__init__()
        self._write = WRITERS[log_format]

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        return self._write({name: redacted(said) if isinstance(said, str) else said for name, said in fields.items()})


class Quiet(logging.Filter):
    """Lets others speak only of what is wrong, and never in detail: their debugging repeats what they were given."""

    def filter(self, record: logging.LogRecord) -> bool:
        if is_own(record.name):
            return True
        return record.levelno >= (logging.INFO if record.name.partition(".")[0] in CHATTY else logging.WARNING)


def is_own(logger: str) -> bool:
    """Tell whether a logger is promptq's."""
    return logger.partition(".")[0] in OWN


def places_of(trace: TracebackType | None) -> str:
    """Say where an exception was raised, and from where that was called."""
    frames = traceback.extract_tb(trace)[-MOST_PLACES:]
    return " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))


def send_to(stream: TextIO, *, level: str, log_format: LogFormat) -> None:
    """Have this process write all its records, and what ends its threads, to a stream. For whoever is the process."""
    lines = logging.StreamHandler(stream)
    lines.setFormatter(Lines(log_format))
    lines.addFilter(Quiet())
    root = logging.getLogger()
    root.handlers[:] = [lines]
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    sys.excepthook = _process_broke
    threading.excepthook = _thread_broke


def _process_broke(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, Exception):
        _log.critical("process_broke", exc_info=(kind, error, trace))
    else:
        sys.__excepthook__(kind, error, trace)  # Ctrl-C has no words of its own


def _thread_broke(broke: threading.ExceptHookArgs) -> None:
    if issubclass(broke.exc_type, Exception):
        name = broke.thread.name if broke.thread is not None else ""
        trouble = (broke.exc_type, broke.exc_value or broke.exc_type(), broke.exc_traceback)
        _log.critical("thread_broke", exc_info=trouble, extra={"of_thread": name})
