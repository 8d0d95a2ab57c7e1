"""A cheap HTTP client in a process of its own: it costs less than what it measures.

`python -m benchmarks.client` reads a `Load` as JSON, posts over keep-alive connections, each with one request under way
at a time, and writes a `Tally` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, cast

import httptools
import uvloop

from benchmarks.figures import percentile


@dataclass(frozen=True)
class Load:
    """What is posted."""

    port: int
    #: `{n}` stands for the request's number.
    path: str
    body: dict[str, Any]
    connections: int
    #: How long answers are counted.
    seconds: float
    #: How long before that they are not.
    warm_s: float = 0.5
    #: At most so many requests in all; None: as many as fit.
    requests: int | None = None


@dataclass
class Tally:
    """What came back while it counted."""

    seconds: float = 0.0
    answers: int = 0
    #: By status.
    statuses: dict[str, int] = field(default_factory=dict)
    p50_ms: float = 0.0
    p99_ms: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def start(load: Load) -> subprocess.Popen[str]:
    """Start a client; `result` waits for it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.client"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if process.stdin is not None:
        process.stdin.write(json.dumps(asdict(load)))
        process.stdin.close()
        process.stdin = None
    return process


def result(process: subprocess.Popen[str], *, timeout_s: float = 300) -> Tally:
    """Wait for what a client counted.

    Raises:
        RuntimeError: an answer was no success, or there was none.
    """
    try:
        out, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    tally = Tally(**json.loads(out))
    if not tally.answers or any(not status.startswith("2") for status in tally.statuses):
        raise RuntimeError(f"not every answer was a success: {tally.statuses}")
    return tally


def run(load: Load) -> Tally:
    """Start a client and wait for it."""
    return result(start(load), timeout_s=load.seconds + load.warm_s + 300)


class _Posting:
    """All connections' work."""

    def __init__(self, load: Load) -> None:
        self.load = load
        body = json.dumps(load.body).encode()
        self._head = f"POST {load.path} HTTP/1.1\r\n".encode()
        self._rest = (
            f"Host: 127.0.0.1:{load.port}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._number = 0
        self._counts_from = time.perf_counter() + load.warm_s
        self._ends = self._counts_from + load.seconds
        self.latencies: list[float] = []
        self.statuses: Counter[str] = Counter()
        self.last = self._counts_from
        self.left = load.connections
        self.over = asyncio.Event()

    def next(self) -> bytes | None:
        """The next request, or None if it is over."""
        if time.perf_counter() >= self._ends or self._number == self.load.requests:
            return None
        self._number += 1
        return self._head.replace(b"{n}", b"%d" % self._number) + self._rest

    def answered(self, status: int, asked: float) -> None:
        now = time.perf_counter()
        self.statuses[str(status)] += 1
        if self._counts_from <= now and (self.last < self._ends or not self.latencies):
            self.latencies.append(now - asked)
            self.last = now

    def leave(self) -> None:
        self.left -= 1
        if not self.left:
            self.over.set()

    def tally(self) -> Tally:
        milliseconds = [latency * 1000 for latency in self.latencies] or [0.0]
        return Tally(
            seconds=self.last - self._counts_from,
            answers=len(self.latencies),
            statuses=dict(self.statuses),
            p50_ms=percentile(milliseconds, 50),
            p99_ms=percentile(milliseconds, 99),
        )


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, posting: _Posting) -> None:
        self._posting = posting
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._asked = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._posting.answered(self._parser.get_status_code(), self._asked)
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._posting.leave()

    def _ask(self) -> None:
        assert self._transport is not None
        request = self._posting.next()
        if request is None:
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._asked = time.perf_counter()
        self._transport.write(request)


async def _post(load: Load) -> Tally:
    loop = asyncio.get_running_loop()
    posting = _Posting(load)
    for _ in range(load.connections):
        await loop.create_connection(lambda: _Connection(posting), "127.0.0.1", load.port)
    await posting.over.wait()
    return posting.tally()


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(_post(Load(**json.load(sys.stdin)))))))
