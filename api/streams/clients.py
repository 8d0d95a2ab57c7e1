"""One client of a stream of events: what waits for it, and the response that sends it.

A client that does not read fast enough is cut off: what waits for it is bounded, and the others do not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.streams.rendering import Kind, Rendered

log = logging.getLogger(__name__)

MOST_WAITING = 1024 * 1024
"""Bytes that may wait for one client. Most of them are shared with the other clients."""

HANG_UP = "promptq.hang_up"
"""What ends a connection at once, in a request's scope."""


@dataclass(eq=False)
class Client:
    """Who follows a stream. For one event loop."""

    tenant: str
    kind: Kind
    #: The session that it follows; None: all of the tenant.
    session_id: str | None = None
    #: Of one that follows all: whether it is told of ephemeral sessions alone.
    only_ephemeral: bool = False
    #: Bundles that came before the client was told what it had missed; None: they are sent as they come.
    held: list[Rendered] | None = None
    #: Whether nothing more is to come.
    is_over: bool = False
    #: Ends the connection at once.
    hang_up: Callable[[], None] | None = None
    _waiting: list[bytes] = field(default_factory=list)
    _size: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def take_in(self, bundle: Rendered) -> None:
        """Have a bundle sent."""
        if self.held is not None:
            self.held.append(bundle)
        elif self.kind is Kind.NAMED:
            self.put(bundle.named)
        elif self.kind is Kind.WRAPPED:
            self.put(bundle.wrapped)
        else:
            self.put(bundle.plain)

    def put(self, chunk: bytes) -> None:
        """Have something sent. Never waits; cuts the client off if too much waits already."""
        if self.is_over or not chunk:
            return
        if self._size > MOST_WAITING:
            log.warning("stream_cut_off", extra={"session": self.session_id or "*", "bytes_waiting": self._size})
            self._waiting.clear()
            self.end()
            if self.hang_up is not None:
                self.hang_up()
            return
        self._waiting.append(chunk)
        self._size += len(chunk)
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

    def __init__(self, client: Client, leave: Callable[[], None]) -> None:
        """Make the answer of a client; `leave` is called once, when the stream is over."""
        super().__init__(headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._client = client
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._client
        client.hang_up = scope.get(HANG_UP)
        gone = asyncio.ensure_future(ends_with(receive, client))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            # A server that stops cancels what it still answers: the stream ends then, and nothing is wrong.
            with contextlib.suppress(asyncio.CancelledError):
                while chunk := await client.take():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._leave()


async def ends_with(receive: Receive, client: Client) -> None:
    """End a stream when its client goes away."""
    while (await receive())["type"] != "http.disconnect":
        pass
    client.end()


class HangUp:
    """Lets who answers a request end its connection at once, where the server can do that.

    A client that reads nothing cannot be told that it is over: whatever is sent to it waits for ever. (Uvicorn gives no
    such means by itself; its transport is where `receive` belongs to.)
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: Any = getattr(getattr(receive, "__self__", None), "transport", None)
        if scope["type"] == "http" and transport is not None:
            scope[HANG_UP] = transport.abort
        await self._app(scope, receive, send)
