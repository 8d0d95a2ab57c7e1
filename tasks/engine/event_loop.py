"""The event loop that a worker's prompts run on, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tasks.engine.threads import EngineThread

T = TypeVar("T")

_LONGEST_QUESTION_S = 2.0


class EventLoop:
    """An asyncio loop (uvloop where there is one) that other threads hand work to."""

    def __init__(self, failed: Callable[[], None]) -> None:
        self.loop = _new_loop()
        self._thread = EngineThread("loop", self.loop.run_forever, failed)
        self._answered = True
        self._asked_at = 0.0
        self._silence_s = 0.0

    def start(self) -> None:
        """Begin to run."""
        self._thread.start()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function on the loop soon. Does nothing once the loop is closed."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(function, *args)

    def run(self, coroutine: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run a coroutine on the loop and wait for it.

        Raises:
            TimeoutError: it took too long; it has been cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        try:
            return future.result(timeout_s)
        except TimeoutError:
            future.cancel()
            raise

    def silence_s(self) -> float:
        """Return for how long the loop has not answered this question. Ask about once a second.

        Time counts by the question, a second or two at most: while this whole process was frozen, nobody was silent.
        """
        now = time.monotonic()
        if self._answered:
            self._answered = False
            self._silence_s = 0.0
            self.call(self._answer)
        else:
            self._silence_s += min(now - self._asked_at, _LONGEST_QUESTION_S)
        self._asked_at = now
        return self._silence_s

    def stop(self, timeout_s: float) -> None:
        """End the loop and its thread. A loop that something blocks is left behind."""
        self.call(self.loop.stop)
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self.loop.close()

    def _answer(self) -> None:
        self._answered = True


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()
