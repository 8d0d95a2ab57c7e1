"""Logs of the API's process: an event's name and its fields, one line each. Never content, never a key."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class EventFormatter(logging.Formatter):
    """Writes `time level logger event field=value …`."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = [f"{name}={value!s}" for name, value in vars(record).items() if name not in _PLAIN]
        line = " ".join([at, record.levelname.lower(), record.name, record.getMessage(), *fields])
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def configure(level: str) -> None:
    """Send the process's logs to standard error. Called once, by the process that is the API."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(EventFormatter())
    root = logging.getLogger()
    root.handlers[:] = [stream]
    root.setLevel(level.upper())
    # It tells of every look at the database's version, which `/readyz` takes again and again.
    logging.getLogger("alembic").setLevel(logging.WARNING)
