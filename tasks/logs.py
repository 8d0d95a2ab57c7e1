"""Where the logs of a worker's process go: Celery leaves that to us."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import warnings
from typing import Any, TextIO

import celery.apps.worker
from celery import signals
from celery.exceptions import SecurityWarning

from domain import log_lines
from domain.settings import Settings

log = logging.getLogger(__name__)


def take_over(settings: Settings) -> None:
    """Have Celery ask here when it sets up its logs, which only a worker does."""

    def set_up(loglevel: int | str | None = None, **_: Any) -> None:
        level = logging.getLevelName(loglevel) if isinstance(loglevel, int) else loglevel
        log_lines.send_to(sys.stderr, level=level or settings.log_level, log_format=settings.log_format)
        if settings.log_format == "json":
            celery.apps.worker.safe_say = _say_in_json
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            log.info("running_as_root")

    signals.setup_logging.connect(set_up, weak=False, dispatch_uid="promptq-logs")
    signals.celeryd_init.connect(_spare_the_sermon, weak=False, dispatch_uid="promptq-root")


def _spare_the_sermon(**_: Any) -> None:
    """Celery warns root, at length, of what pickled messages could do; only JSON is taken here. The logs say it short.

    Celery checks right after it has sent the signal that this hears.
    """
    warnings.filterwarnings("ignore", category=SecurityWarning)


def _say_in_json(message: str, stream: TextIO | None = sys.__stderr__) -> None:
    """Write what Celery says past its logs, from within a signal's handler, where no lock may be waited for."""
    if stream is not None:
        record = {"name": "celery.apps.worker", "levelname": "INFO", "msg": message, "created": time.time()}
        line = log_lines.json_line(log_lines.fields_of(logging.makeLogRecord(record)))
        with contextlib.suppress(OSError):
            os.write(stream.fileno(), f"{line}\n".encode())
