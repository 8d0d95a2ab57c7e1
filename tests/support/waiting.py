"""Waiting for something to become true, instead of sleeping and hoping."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds between two looks: short at first, so that fast things stay fast in tests, then longer.
_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.05


class NeverHappenedError(AssertionError):
    """A condition did not come true in time."""


def eventually(predicate: Callable[[], T | None], timeout: float = 10.0, *, what: str = "") -> T:
    """Call `predicate` until it returns something true, and return that.

    A look that raises AssertionError counts as "not yet", so that asserts can be waited for; the last one is the cause
    of the failure.

    Raises:
        NeverHappenedError: `timeout` seconds have passed.
    """
    give_up_at = time.monotonic() + timeout
    pause = _FIRST_PAUSE_S
    while True:
        last: AssertionError | None = None
        try:
            result = predicate()
        except AssertionError as error:
            last = error
        else:
            if result:
                return result
        if time.monotonic() >= give_up_at:
            raise NeverHappenedError(_sentence(predicate, timeout, what)) from last
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)


async def eventually_async(
    predicate: Callable[[], Awaitable[T | None] | T | None], timeout: float = 10.0, *, what: str = ""
) -> T:
    """As `eventually`, on an event loop; the predicate may be a coroutine function."""
    give_up_at = time.monotonic() + timeout
    pause = _FIRST_PAUSE_S
    while True:
        last: AssertionError | None = None
        try:
            outcome = predicate()
            result = await outcome if isinstance(outcome, Awaitable) else outcome
        except AssertionError as error:
            last = error
        else:
            if result:
                return result
        if time.monotonic() >= give_up_at:
            raise NeverHappenedError(_sentence(predicate, timeout, what)) from last
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE_S)


def _sentence(predicate: Callable[[], object], timeout: float, what: str) -> str:
    return f"not true after {timeout} s: {what or getattr(predicate, '__qualname__', predicate)}"
