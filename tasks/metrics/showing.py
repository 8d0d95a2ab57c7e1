"""Shows a worker's figures: in a report every few seconds, and at a port of its own if it was given one."""

from __future__ import annotations

import contextlib
import logging
import random
import threading

import redis

from domain.exposition import Exposition
from domain.settings import Settings
from storage.reports import EVERY_S, Reports
from tasks.metrics.figures import Figures
from tasks.metrics.port import MetricsPort

log = logging.getLogger(__name__)

CLOSE_S = 1.5


class Showing:
    """The threads that show. Trouble with either way is logged, and costs nothing but figures."""

    def __init__(self, settings: Settings, figures: Figures) -> None:
        """Prepare to show; nothing is opened yet."""
        self._settings = settings
        self._figures = figures
        self._reports = Reports(settings.redis, settings.redis_prefix) if settings.redis is not None else None
        self._thread = threading.Thread(target=self._report, name="reports", daemon=True)
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._away = False
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        """Begin."""
        if self._settings.metrics_port is not None:
            self._listen(self._settings.metrics_port)
        if self._reports is not None:
            self._thread.start()

    def now(self) -> None:
        """Have a report written at once: something has changed that people look for."""
        self._wake.set()

    def close(self) -> None:
        """Write a last report, and let go of everything; wait for that a moment at most."""
        self._ending.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        self._stack.close()

    def _listen(self, port: int) -> None:
        password = self._settings.metrics_password
        try:
            opened = MetricsPort(
                Exposition(self._figures.families),
                host=self._settings.metrics_host,
                port=port,
                password=password.get_secret_value() if password is not None else None,
            )
        except OSError as error:
            log.error("metrics_port_not_opened", extra={"port": port, "error": type(error).__name__})  # noqa: TRY400
        else:
            self._stack.callback(opened.close)

    def _report(self) -> None:
        while True:
            ended = self._ending.is_set()
            self._write(ended=ended)
            if ended:
                break
            self._wake.wait(random.uniform(0.8, 1.0) * EVERY_S)
            self._wake.clear()
        if self._reports is not None:
            self._reports.close()

    def _write(self, *, ended: bool) -> None:
        if self._reports is None:
            return
        try:
            self._reports.write(self._figures.report(ended=ended))
        except (redis.RedisError, OSError) as error:
            if not self._away:
                log.warning("reports_not_written", extra={"error": type(error).__name__})
            self._away = True
        else:
            self._away = False
