"""Where the logs of the API's process go."""

from __future__ import annotations

import logging
import sys

from domain import log_lines
from domain.settings import Settings


def configure(settings: Settings) -> None:
    """Send the process's logs to standard error, its server's too. Called once, by the process that is the API."""
    log_lines.send_to(sys.stderr, level=settings.log_level, log_format=settings.log_format)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        server = logging.getLogger(name)
        server.handlers.clear()
        server.propagate = True
