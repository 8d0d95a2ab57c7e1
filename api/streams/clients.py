"""One client of a stream of events: what waits for it, and the response that sends it.

A client that does not read fast enough is cut off: what waits for it is bounded, and the others do not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

MOST_WAITING = 1024 * 1024
"""Bytes that may wait for one client. Most of them are shared with the other clients."""


@dataclass(eq=False)
class Client:
    """Who follows a stream. For one event loop."""

    tenant: str
    #: The session that it follows; None: all of the tenant.
    session_id: str | None = None
    _waiting: list[bytes] = field(default_factory=list)
    _size: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    #: Whether nothing more is to come.
    is_over: bool = False
    #: Ends the connection at once.
    hang_up: Callable[[], None] | None = None

    def put(self, chunk: bytes) -> None:
        """Have something sent. Never waits; cuts the client off if too much waits already."""
        if self.is_over:
            return
        self._waiting.append(chunk)
        self._size += len(chunk)
        if self._size > MOST_WAITING:
            log.warning("stream_cut_off", extra={"session": self.session_id or "*", "waiting": self._size})
            self._waiting.clear()
            self.end()
            if self.hang_up is not None:
                self.hang_up()
            return
        self._wake.set()

    def end(self) -> None:
        """Send what waits, and no more."""
        self.is_over = True
        self._wake.set()

    async def take(self) -> bytes:
        """Wait for something to send; nothing if it is over."""
        while not self._waiting and not self.is_over:
            self._wake.clear()
            await self._wake.wait()
        taken = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        return taken


class EventStream(Response):
    """Sends a client what comes, until it goes away or is ended."""

    media_type = "text/event-stream"

    def __init__(self, client: Client, leave: Callable[[Client], None]) -> None:
        """Make the answer of a client; `leave` is called once, when the stream is over."""
        super().__init__(headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._client = client
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._client
        client.hang_up = scope.get("state", {}).get("hang_up")
        gone = asyncio.ensure_future(_ended(receive, client))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            # A server that stops cancels what it still answers: the stream ends then, and nothing is wrong.
            with contextlib.suppress(asyncio.CancelledError):
                while chunk := await client.take():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._leave(client)


async def _ended(receive: Receive, client: Client) -> None:
    """End a stream when its client goes away."""
    with contextlib.suppress(asyncio.CancelledError):
        while (await receive())["type"] != "http.disconnect":
            pass
        client.end()
