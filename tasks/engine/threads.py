"""Threads that an engine cannot do without: one that breaks takes the engine, and its worker, down."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


class EngineThread(threading.Thread):
    """Runs a function that returns only when the engine stops; anything else is a failure, and said so."""

    def __init__(self, name: str, body: Callable[[], None], failed: Callable[[], None]) -> None:
        """Prepare a thread; `failed` is called if `body` raises, and the exception goes to `threading.excepthook`."""
        super().__init__(name=f"engine-{name}", daemon=True)
        self._body = body
        self._failed = failed

    def run(self) -> None:
        returned = False
        try:
            self._body()
            returned = True
        finally:
            if not returned:
                log.critical("engine_thread_failed", extra={"engine_thread": self.name})
                self._failed()
