"""The workers, as they report themselves."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import redis

from domain.settings import Settings
from storage.reports import Heard, Reports

FRESH_S = 0.5
"""Reports that were read so short a time ago are not read again."""


class Fleet:
    """Reads reports. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        """Make one; without a Redis nobody is known."""
        self._reports = Reports(settings.redis, settings.redis_prefix) if settings.redis is not None else None
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._heard: Sequence[Heard] | None = None

    def workers(self) -> Sequence[Heard] | None:
        """Return the latest reports by worker, those that have ended too; None if Redis does not answer."""
        if self._reports is None:
            return None
        with self._lock:
            if time.monotonic() - self._read_at > FRESH_S:
                try:
                    self._heard = self._reports.read()
                except (redis.RedisError, OSError):
                    self._heard = None
                self._read_at = time.monotonic()
            return self._heard

    def close(self) -> None:
        """Let go of the connections."""
        if self._reports is not None:
            self._reports.close()
