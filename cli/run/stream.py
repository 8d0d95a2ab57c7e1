"""Reads a session's events in a thread of its own, and comes back after each break to where it was.

Events are hints: what is true is what the server says of the job and of the message. So a stream that cannot be had at
all is no error here.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2

from cli.client import Client, Json
from cli.exits import CommandError

SILENCE_S = 30.0
"""A stream that says nothing for so long is broken: the server's heart beats every 10 s."""

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True)
class Told:
    """An event."""

    event: Json


Inbox = queue.SimpleQueue[Any]
"""Takes what is told, from any thread and from handlers of signals."""


class Stream:
    """The events of one session, put into an inbox until the block ends."""

    def __init__(self, client: Client, session_id: str, inbox: Inbox) -> None:
        """Make one; nothing is sent yet."""
        self._client = client
        self._session_id = session_id
        self._inbox = inbox
        self._last: str | None = None
        self._begun = threading.Event()
        self._over = threading.Event()
        self._answer: httpx2.Response | None = None
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._hang_up()
        self._thread.join(1)

    def begin(self, timeout_s: float) -> None:
        """Wait until it is told that it follows, so that it misses nothing of what is asked next; not for ever."""
        self._begun.wait(timeout_s)

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._over.is_set():
            try:
                for event in self._events():
                    pause = _FIRST_PAUSE_S
                    self._begun.set()
                    self._inbox.put(Told(event))
            except (CommandError, httpx2.HTTPError, httpx2.StreamError, OSError, ValueError):
                self._begun.set()  # there is nothing to wait for
            self._over.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _events(self) -> Iterator[Json]:
        with self._client.events(self._session_id, after=self._last, read_s=SILENCE_S) as answer:
            self._answer = answer
            if self._over.is_set():
                return
            name = ""
            for line in answer.iter_lines():
                field, _, value = line.partition(": ")
                if field == "id":
                    name = value
                elif field == "data":
                    event = json.loads(value)
                    yield event
                    # Only now: what was not handed on is to be sent again.
                    self._last = name or self._last

    def _hang_up(self) -> None:
        """Wake the thread, which may be waiting for the next event."""
        stream = self._answer.extensions.get("network_stream") if self._answer is not None else None
        connection = stream.get_extra_info("socket") if stream is not None else None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
