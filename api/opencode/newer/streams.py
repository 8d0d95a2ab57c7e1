"""The routes of a session's durable events: page by page, and as a stream that goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

import msgspec
from fastapi import APIRouter, Request, Response
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from api.calls import Call, LeanRoute
from api.opencode.newer import durable
from api.opencode.newer.sessions import session_of
from api.opencode.queries import check_names
from api.replies import reply
from api.streams.clients import HANG_UP, Client, ends_with
from api.streams.rendering import Kind
from domain.errors import InvalidRequest, SessionNotFound, StoreUnavailable

router = APIRouter(route_class=LeanRoute, include_in_schema=False)

MOST = 1000
SOME = 100
"""Events on one page: at most, and if nobody chose."""

LOOK_S = 1.0
"""How often the store is read for a stream that hears nothing, give or take a fifth."""

HEARTBEAT_S = 10.0

_encoder = msgspec.json.Encoder()


@router.get("/api/session/{sessionID}/history")
async def history(request: Request) -> Response:
    """Return a page of a session's durable events, those after a number."""
    call = Call(request)
    query = check_names(request, ("limit", "after"))
    limit = _whole(query, "limit", SOME, least=1, most=MOST)
    after = _whole(query, "after", -1, least=0, most=2**53 - 1)
    found = await call.means.aside(_read, call, session_of(request), after, limit)
    return reply({"data": found.events, "hasMore": found.has_more})


@router.get("/api/session/{sessionID}/event")
async def follow(request: Request) -> Response:
    """Stream a session's durable events after a number, then those that come."""
    call = Call(request)
    query = check_names(request, ("after",))
    after = _whole(query, "after", -1, least=0, most=2**53 - 1)
    session_id = session_of(request)
    session = await call.means.aside(call.means.store.session, call.tenant, session_id)
    client = Client(call.tenant, Kind.NAMED, session_id)
    return _Stream(call, client, after, await call.means.joining.session(client, session, None))


class _Stream(Response):
    """Reads the store again whenever something is heard of the session, and now and then in case nothing is."""

    media_type = "text/event-stream"

    def __init__(self, call: Call, client: Client, after: int, leave: Callable[[], None]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._call = call
        self._client = client
        self._after = after
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._client.hang_up = scope.get(HANG_UP)
        gone = asyncio.ensure_future(ends_with(receive, self._client))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            # A server that stops cancels what it still answers: the stream ends then, and nothing is wrong.
            with contextlib.suppress(asyncio.CancelledError, SessionNotFound):
                await self._tell(send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._leave()

    async def _tell(self, send: Send) -> None:
        last = time.monotonic()
        while not self._client.is_over:
            chunk = await self._next()
            if not chunk and time.monotonic() - last >= HEARTBEAT_S:
                chunk = b": heartbeat\n\n"
            if chunk:
                last = time.monotonic()
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S * random.uniform(0.8, 1.2)):
                        await self._client.take()

    async def _next(self) -> bytes:
        """Read what comes next; nothing if there is nothing, or if the store does not answer just now."""
        session_id = self._client.session_id or ""
        try:
            found = await self._call.means.aside(_read, self._call, session_id, self._after, SOME)
        except StoreUnavailable:
            return b""
        if found.events:
            self._after = found.events[-1]["durable"]["seq"]
        return b"".join(b"data: %b\n\n" % _encoder.encode(event) for event in found.events)


def _read(call: Call, session_id: str, after: int, limit: int) -> durable.Reading:
    return durable.read(call.means.store, call.tenant, session_id, after=after, limit=limit)


def _whole(query: QueryParams, name: str, default: int, *, least: int, most: int) -> int:
    given = query.get(name)
    if given is None:
        return default
    if not given.isascii() or not given.isdigit() or not least <= int(given[:17]) <= most:
        raise InvalidRequest(f"{name}: must be a whole number from {least} to {most}", field=name)
    return int(given[:17])
