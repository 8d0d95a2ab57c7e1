"""Many clients of event streams in a process of its own: `python -m benchmarks.listeners`.

It reads a `Crowd` as JSON, opens a stream for each client, and says that all have begun. Then it answers each line on
its standard input with what came since the last one, as JSON. What it looks for are deltas whose text is the time, by
`time.monotonic_ns`, at which they were published.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from functools import partial
from typing import Self, cast

import uvloop

from benchmarks.figures import percentile

_SENT = re.compile(rb'"delta":"([0-9]+)"')
_LONGEST = 64
"""More than a match can be long."""


@dataclass(frozen=True)
class Crowd:
    """Who listens to what."""

    port: int
    #: `{n}` stands for the client's number.
    path: str
    clients: int


@dataclass(frozen=True)
class Heard:
    """What all clients together have heard."""

    events: int
    p50_ms: float
    p99_ms: float


class Listeners:
    """A listening process. A context manager."""

    def __init__(self, crowd: Crowd) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.listeners"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._write(json.dumps(asdict(crowd)))
        self._read()

    def heard(self) -> Heard:
        """Ask what came since this was asked last."""
        self._write("")
        return Heard(**json.loads(self._read()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class _Client(asyncio.Protocol):
    """One stream."""

    def __init__(self, delays: list[float], path: str, begun: asyncio.Future[None]) -> None:
        self._delays = delays
        self._path = path
        self._begun = begun
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        request = f"GET {self._path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        cast("asyncio.Transport", transport).write(request.encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        whole = self._rest + data
        end = 0
        for match in _SENT.finditer(whole):
            self._delays.append((now - int(match[1])) / 1e6)
            end = match.end()
        self._rest = whole[max(end, len(whole) - _LONGEST) :]
        if not self._begun.done() and b"server.connected" in whole:
            self._begun.set_result(None)


def _same(client: _Client) -> _Client:
    return client


async def _listen(crowd: Crowd) -> None:
    loop = asyncio.get_running_loop()
    delays: list[float] = []
    for first in range(0, crowd.clients, 100):
        begun: list[asyncio.Future[None]] = []
        for number in range(first, min(first + 100, crowd.clients)):
            begun.append(loop.create_future())
            client = _Client(delays, crowd.path.replace("{n}", str(number)), begun[-1])
            await loop.create_connection(partial(_same, client), "127.0.0.1", crowd.port)
        await asyncio.gather(*begun)
    print("begun", flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        found = delays[:] or [0.0]
        heard = Heard(len(delays), percentile(found, 50), percentile(found, 99))
        delays.clear()
        print(json.dumps(asdict(heard)), flush=True)


if __name__ == "__main__":
    uvloop.run(_listen(Crowd(**json.loads(sys.stdin.readline()))))
