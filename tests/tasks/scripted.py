"""An executor that does what a test wrote for it, and a store that can go away."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from domain.errors import StoreUnavailable
from domain.messages import Usage
from executors.base import Event, Request, StepFinish, TextDelta
from storage.base import Store

Script = Callable[[Request], AsyncIterator[Event]]

MODEL = "scripted/one"

END = StepFinish("stop", Usage(input=1, output=1), cost=0.5)


def said(request: Request) -> str:
    """The text of the prompt."""
    return str(next(part["text"] for part in request.prompt.parts if part["type"] == "text"))


class Scripted:
    """Runs the script that the prompt's text names; a text that names none is answered with itself."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self._scripts = scripts
        #: The (text, attempt) of what was begun, in that order.
        self.begun: list[tuple[str, int]] = []
        self.running: Counter[str] = Counter()
        self.most_running = 0
        #: The texts whose attempts saw themselves cancelled.
        self.interrupted: list[str] = []
        self.closed = False

    async def run(self, request: Request) -> AsyncIterator[Event]:
        text = said(request)
        self.begun.append((text, request.job.attempt))
        self.running[request.session.id] += 1
        self.most_running = max(self.most_running, self.running.total())
        try:
            script = self._scripts.get(text)
            if script is None:
                yield TextDelta(text)
                yield END
                return
            async for event in script(request):
                yield event
        except asyncio.CancelledError:
            self.interrupted.append(text)
            raise
        finally:
            self.running[request.session.id] -= 1

    async def aclose(self) -> None:
        self.closed = True


class Gate:
    """A script that says a word and waits until the test opens the gate."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.reached = 0

    @property
    def is_open(self) -> bool:
        return self._open.is_set()

    def open(self) -> None:
        self._open.set()

    async def __call__(self, request: Request) -> AsyncIterator[Event]:
        yield TextDelta("half ")
        self.reached += 1
        while not self._open.is_set():  # noqa: ASYNC110 - it is opened from another thread
            await asyncio.sleep(0.002)
        yield TextDelta("whole")
        yield END


class Unreliable:
    """A store that a test can take away. While it is away every call says so, before anything happens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False
        self.calls: Counter[str] = Counter()
        #: Raised instead of an answer of `exchange`.
        self.defect: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if self.away:
                raise StoreUnavailable("the test took it away")
            if self.defect is not None and name == "exchange":
                raise self.defect
            return method(*args, **kwargs)

        return call
