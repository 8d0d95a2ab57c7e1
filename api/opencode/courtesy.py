"""What OpenCode's command needs so that it prints every answer.

`opencode run --attach` prints what events say, not what its prompt is answered with, and leaves as soon as it is
answered. It opens its stream of events and posts its prompt at the same moment. So a prompt of this program waits a
little for its caller's stream, and its answer goes out a little after the events. Other callers never wait here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from fastapi import Request

from api.calls import Call

AGENT = "opencode/"
"""How the program's `User-Agent` begins."""

APPEAR_S = 0.3
"""How long the request for a stream may take to come after a prompt of the same caller."""

OPEN_S = 2.0
"""How long a stream that was asked for may take to be open."""

AT_ONCE_S = 0.05
"""How long to look for a stream of this very run where others of the same caller are open already."""

LEAD_S = 0.2
"""How long events have to be read before the answer comes."""

Caller = tuple[str, str]
"""A tenant and a machine."""


class Courtesy:
    """Knows the streams of OpenCode's programs in this process, by caller. For one event loop."""

    def __init__(self) -> None:
        self._opening: dict[Caller, int] = {}
        self._open: dict[Caller, int] = {}
        self._changed = asyncio.Condition()

    async def stream(self, call: Call, joined: Awaitable[Callable[[], None]]) -> Callable[[], None]:
        """Let a client join, and note it if it is OpenCode's. Returns what lets it leave."""
        caller = _caller(call)
        if caller is None:
            return await joined
        await self._count(self._opening, caller, 1)
        try:
            leave = await joined
            await self._count(self._open, caller, 1)
        finally:
            await self._count(self._opening, caller, -1)

        def left() -> None:
            _add(self._open, caller, -1)
            leave()

        return left

    async def before(self, call: Call) -> None:
        """Wait, if a prompt is OpenCode's, for the stream that its answer is to be read from; but not for long."""
        caller = _caller(call)
        if caller is None:
            return
        if caller in self._open:
            await asyncio.sleep(AT_ONCE_S)
        else:
            await self._until(lambda: caller in self._open or caller in self._opening, APPEAR_S)
        await self._until(lambda: caller not in self._opening, OPEN_S)

    async def after(self, call: Call) -> None:
        """Let an answer, if it is OpenCode's, come after the events that tell it."""
        if _caller(call) is not None:
            await asyncio.sleep(LEAD_S)

    async def _count(self, among: dict[Caller, int], caller: Caller, change: int) -> None:
        async with self._changed:
            _add(among, caller, change)
            self._changed.notify_all()

    async def _until(self, holds: Callable[[], bool], patience_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s), self._changed:
                await self._changed.wait_for(holds)


def courtesy_of(request: Request) -> Courtesy:
    """Return the courtesy of the application that a request came to."""
    courtesy: Courtesy = request.app.state.courtesy
    return courtesy


def _add(among: dict[Caller, int], caller: Caller, change: int) -> None:
    count = among.get(caller, 0) + change
    if count:
        among[caller] = count
    else:
        among.pop(caller, None)


def _caller(call: Call) -> Caller | None:
    """Say who a caller is, if it is OpenCode's program."""
    request = call.request
    if not request.headers.get("user-agent", "").startswith(AGENT):
        return None
    return call.tenant, request.client.host if request.client is not None else ""
