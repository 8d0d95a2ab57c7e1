"""A TCP proxy on loopback, before a server of ours, that does to connections what networks do.

It listens on a port of its own and connects to a unix socket or a port. A process that is given the proxy's port sees a
network; several proxies before one server are several hosts.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from enum import Enum
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

_PORTION = 65_536


class Weather(Enum):
    """What becomes of what is sent."""

    FAIR = "fair"
    #: Nothing passes, and nothing is lost: it comes later.
    FROZEN = "frozen"
    #: Connections are reset, and new ones refused.
    CUT = "cut"
    #: The other side vanishes without a word: connections lead nowhere, until it is back and knows nothing of them.
    HALF_OPEN = "half-open"


class _Link:
    """One connection through the proxy."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        #: Whether it leads nowhere, for as long as the client holds it.
        self.is_dead = False
        self.tasks: list[asyncio.Task[None]] = []

    def reset(self) -> None:
        """Close both sides at once, without a farewell."""
        for task in self.tasks:
            task.cancel()
        for side in (self.near, self.far):
            if side is not None:
                side.transport.abort()

    def die(self) -> None:
        """Leave the near side open, to nobody."""
        self.is_dead = True
        if self.far is not None:
            self.far.transport.abort()


class Proxy:
    """Stands before one server, in a thread of its own. A context manager; its methods are for other threads."""

    def __init__(self, upstream: Path | int) -> None:
        """Stand before a unix socket or a port of loopback, which need not be there yet."""
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._server: asyncio.Server | None = None
        self._weather = Weather.FAIR
        self._delay_s = 0.0
        self._fair = asyncio.Event()
        self._links: set[_Link] = set()

    @property
    def port(self) -> int:
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._links)

    def become(self, weather: Weather) -> None:
        """Change the weather for all connections, those that are open and those to come."""
        self._call(self._become(weather))

    def delay(self, seconds: float) -> None:
        """Have everything that is sent, either way, arrive so much later."""
        self._delay_s = seconds

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _open(self) -> None:
        self._fair.set()
        self._server = await asyncio.start_server(self._accept, sock=self._listening)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._reset_all()
        await asyncio.sleep(0)

    async def _become(self, weather: Weather) -> None:
        self._weather = weather
        if weather is Weather.FROZEN:
            self._fair.clear()
        else:
            self._fair.set()
        if weather is Weather.CUT:
            await self._reset_all()
        elif weather is Weather.FAIR:
            # Who is back knows nothing of connections from before.
            for link in [link for link in self._links if link.is_dead]:
                link.reset()
        elif weather is Weather.HALF_OPEN:
            for link in self._links:
                link.die()

    async def _reset_all(self) -> None:
        tasks = [task for link in self._links for task in link.tasks]
        for link in list(self._links):
            link.reset()
        self._links.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        if self._weather is Weather.CUT:
            link.reset()
            return
        self._links.add(link)
        link.is_dead = self._weather is Weather.HALF_OPEN
        link.tasks.append(asyncio.ensure_future(self._run(link, reader)))

    async def _run(self, link: _Link, reader: asyncio.StreamReader) -> None:
        try:
            await self._serve(link, reader)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)
            link.reset()

    async def _serve(self, link: _Link, reader: asyncio.StreamReader) -> None:
        if not link.is_dead:
            await self._fair.wait()
            try:
                far_reader, link.far = await self._connect()
            except OSError:
                return
            back = asyncio.ensure_future(self._pass_on(link, far_reader, link.near, is_back=True))
            link.tasks.append(back)
            with contextlib.suppress(OSError):
                await self._pass_on(link, reader, link.far, is_back=False)
        while link.is_dead and await reader.read(_PORTION):
            pass

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(self._upstream)
        return await asyncio.open_connection("127.0.0.1", self._upstream)

    async def _pass_on(
        self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_back: bool
    ) -> None:
        try:
            while portion := await reader.read(_PORTION):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._fair.wait()
                if link.is_dead:
                    return
                writer.write(portion)
                await writer.drain()
        except OSError:
            pass
        finally:
            if is_back and not link.is_dead:
                link.near.close()
