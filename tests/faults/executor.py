"""The executor `faulty`: it asks the suite's model over HTTP, streams what it says, and does what poison does."""

import os
import resource
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

from domain.messages import Usage
from domain.settings import Settings
from executors.base import Event, PermanentError, Request, StepFinish, TextDelta, TransientError
from tests.crash.executor import VARIABLE, text_of
from tests.faults.prompts import Kind, kind_of

PROVIDER = "faulty"

#: For how long the event loop is blocked: for less than its worker puts up with.
BLOCK_S = 3.0

#: Bytes that a prompt that exhausts memory finds before there are no more.
ROOM = 64 * 1024 * 1024


class FaultyExecutor:
    """Asks once an attempt; who is asked writes it down."""

    def __init__(self, _settings: Settings) -> None:
        limits = httpx2.Limits(max_connections=200, max_keepalive_connections=50)
        self._client = httpx2.AsyncClient(base_url=os.environ[VARIABLE], timeout=60, limits=limits)

    async def run(self, request: Request) -> AsyncIterator[Event]:
        prompt = text_of(request.prompt.parts)
        kind = kind_of(prompt)
        turns = await request.history()
        asked = {
            "session": request.job.session_id,
            "job": request.job.id,
            "attempt": request.job.attempt,
            "prompt": prompt,
            "shown": [(text_of(turn.prompt.parts), text_of(turn.answer.parts)) for turn in turns if turn.answer],
        }
        if kind is Kind.KILLING:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind is Kind.MEMORY:
            exhaust_memory()
        if kind is Kind.BLOCKING and request.job.attempt == 1:
            time.sleep(BLOCK_S)  # noqa: ASYNC251 - what a careless executor does
        try:
            async with self._client.stream("POST", "/", json=asked) as answer:
                refuse(answer)
                async for piece in answer.aiter_bytes():
                    yield TextDelta(piece.decode())
        except httpx2.TransportError as error:
            raise TransientError("model_away", "the model did not answer") from error
        except UnicodeDecodeError as error:
            raise TransientError("model_babbles", "the model said something that is no text") from error
        yield StepFinish("stop", Usage(input=1, output=1))

    async def aclose(self) -> None:
        await self._client.aclose()


def refuse(answer: httpx2.Response) -> None:
    """Say what a status means, as an executor for a real provider does."""
    match answer.status_code:
        case 200:
            return
        case 429:
            wait_s = float(answer.headers["retry-after"])
            raise TransientError("rate_limited", "later", retry_after_s=wait_s, status=429, from_provider=True)
        case status if status >= 500:
            raise TransientError("provider_error", "trouble", status=status, from_provider=True)
        case status:
            raise PermanentError("provider_error", "no", status=status, from_provider=True)


def exhaust_memory() -> None:
    """Take memory until there is no more for this process. What else it does meanwhile goes without, too."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    hoard = []
    try:
        resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, before[1]))
        while True:
            hoard.append(bytearray(1024 * 1024))
    finally:
        hoard.clear()
        resource.setrlimit(resource.RLIMIT_AS, before)
