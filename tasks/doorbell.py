"""The doorbell: tells the fleet that there is work, at once and best effort.

It carries nothing, and nothing depends on it: a worker that hears no bell looks by itself every second or two. Who
rings (the API after a commit, an engine that leaves work behind) never waits for the broker and never sees it fail.

On a Redis broker the rings of all processes are joined: a ring publishes only if the key `bell` was not there, and an
engine that hears a bell removes the key before it claims. So whoever rings after that is heard anew, and whoever rang
before it has committed what will be claimed.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from kombu import Connection
from kombu.exceptions import KombuError

from domain.settings import Settings
from storage.failpoints import failpoint
from tasks.broker import BELL_KEY, BELL_QUEUE, broker_url, is_redis, transport_options

log = logging.getLogger(__name__)

BELL_MS = 1_000
"""How long the key stays, should nobody hear the bell."""

MOST_UNHEARD = 32
"""Bells that may wait in the queue. With more, a fleet that was full for hours would hear them all at once."""

GAP_S = 0.05
"""With a broker that cannot join rings: the shortest time between two of one process."""

CLOSE_S = 1.0


class Doorbell:
    """Rings from a thread of its own, which starts with the first ring. Safe to use from many threads."""

    def __init__(self, settings: Settings) -> None:
        self._url = broker_url(settings)
        self._options = transport_options(settings)
        self._asked = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """Ask for a ring and return at once. What is asked for while a ring is under way becomes one more."""
        if self._url is None or self._closing.is_set():
            return
        self._asked = True
        self._wake.set()
        if self._thread is None:
            self._start(self._url)

    def close(self) -> None:
        """Do what was asked for, and let go of the connection; wait for that for a second at most."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(CLOSE_S)

    def _start(self, url: str) -> None:
        with self._lock:
            if self._thread is None:
                bell = _Bell(url, self._options)
                self._thread = threading.Thread(target=self._run, args=(bell,), name="doorbell", daemon=True)
                self._thread.start()

    def _run(self, bell: _Bell) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._asked:
                self._asked = False
                bell.ring()
            if self._closing.is_set():
                break
            if not bell.joins:
                self._closing.wait(GAP_S)
        bell.drop()


class _Bell:
    """The connection that is rung over, used by one thread; made anew when it breaks."""

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        self._connection = Connection(url, transport_options=options, connect_timeout=3)
        self._channel: Any = None
        self._away = False
        #: Whether rings of several processes become one.
        self.joins = is_redis(url)
        self._trouble: tuple[type[Exception], ...] = (
            KombuError,
            OSError,
            *self._connection.connection_errors,
            *self._connection.channel_errors,
        )

    def ring(self) -> None:
        """Publish a bell, unless one is under way. A connection that broke since the last ring is made anew once."""
        used = self._channel is not None
        error = self._try()
        if error is not None and used:
            error = self._try()
        if error is not None and not self._away:
            log.warning("bell_not_rung", extra={"error": type(error).__name__})
        elif error is None and self._away:
            log.info("bell_rung_again")
        self._away = error is not None

    def drop(self) -> None:
        """Close the connection, if there is one."""
        self._channel = None
        self._connection.collect(socket_timeout=CLOSE_S)

    def _try(self) -> Exception | None:
        try:
            if self._channel is None:
                self._channel = self._connection.channel()
            if self.joins and not self._is_first():
                return None
            failpoint("bell.before_publish")
            # Straight to the queue: a Redis that was emptied has forgotten what is bound to which exchange.
            producer = self._connection.Producer(channel=self._channel, serializer="json", auto_declare=False)
            producer.publish({}, exchange="", routing_key=BELL_QUEUE, delivery_mode=1)
        except self._trouble as error:
            self.drop()
            return error
        return None

    def _is_first(self) -> bool:
        with self._channel.client.pipeline(transaction=False) as pipeline:
            pipeline.set(BELL_KEY, 1, nx=True, px=BELL_MS)
            pipeline.llen(BELL_QUEUE)
            was_set, unheard = pipeline.execute()
        return bool(was_set) and unheard < MOST_UNHEARD
