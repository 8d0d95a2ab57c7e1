"""Runs attempts on the event loop, from the claim to the end that is handed in.

The only place that catches Exception: an executor may do anything, and the engine goes on.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import traceback
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from domain.clock import millis
from domain.conversations import turns_before
from domain.errors import StoreUnavailable
from domain.ids import is_hidden
from domain.jobs import AttemptEnd, Claimed, Failure, Outcome
from domain.messages import Turn
from executors.base import Event, ExecutionError, Executor, Request, TransientError
from executors.registry import Executors
from storage.base import Store
from storage.failpoints import failpoint
from tasks.engine.event_loop import EventLoop
from tasks.engine.slots import PATIENCE_S, Attempt, Slots, Stop

log = logging.getLogger(__name__)

LONGEST_START_S = 0.005
"""How long a round of claims waits for its attempts to begin, should the event loop be busy."""

READERS = 8
"""Histories that are loaded at the same time."""

LONGEST_PAUSE_S = 5.0


class Runner:
    """Runs attempts. Its public methods may be called from any thread."""

    def __init__(
        self,
        event_loop: EventLoop,
        executors: Executors,
        store: Store,
        slots: Slots,
        *,
        ended: Callable[[], None],
    ) -> None:
        """Make one; `ended` is called on the event loop when attempts have ended, once for all that end together."""
        self._event_loop = event_loop
        self._loop = event_loop.loop
        self._executors = executors
        self._store = store
        self._slots = slots
        self._ended = ended
        self._telling = False
        self._readers = ThreadPoolExecutor(READERS, "engine-history")

    def start(self, attempts: Sequence[Attempt]) -> None:
        """Begin to run attempts, and wait a moment until each has got as far as it gets without waiting.

        Those that end there and then are handed in together, with what else has ended, and not in a round of their own.
        """
        begun = threading.Event()
        self._event_loop.call(self._start, attempts, begun)
        begun.wait(LONGEST_START_S)

    def stop(self, attempts: Collection[Attempt], why: Stop) -> None:
        """Tell attempts to stop; the first reason that one is told stays."""
        if attempts:
            self._event_loop.call(self._stop_all, attempts, why)

    def give_up(self, attempts: Collection[Attempt]) -> None:
        """End attempts that were told to stop and did not. Their tasks are left behind, and what they do is lost."""
        if attempts:
            self._event_loop.call(self._give_up, attempts)

    def close(self) -> None:
        """Close the executors. No attempt runs any more."""
        try:
            self._event_loop.run(self._executors.aclose(), PATIENCE_S)
        except TimeoutError:
            log.warning("executors_not_closed")
        self._readers.shutdown(wait=False, cancel_futures=True)

    def _start(self, attempts: Sequence[Attempt], begun: threading.Event) -> None:
        failpoint("engine.start_jobs")
        for attempt in attempts:
            attempt.task = self._loop.create_task(self._run(attempt))
        self._loop.call_soon(begun.set)

    def _stop_all(self, attempts: Collection[Attempt], why: Stop) -> None:
        for attempt in attempts:
            self._stop_one(attempt, why)

    def _stop_one(self, attempt: Attempt, why: Stop) -> None:
        if attempt.ended is not None or attempt.stop is not None:
            return
        attempt.stop_by = min(attempt.stop_by, attempt.began + attempt.runtime_s + self._slots.patience_s)
        attempt.stop = why
        # A task that is cancelled before its first step never runs, and could not say how it ended.
        if attempt.task is not None and attempt.entered:
            attempt.task.cancel()

    def _give_up(self, attempts: Collection[Attempt]) -> None:
        for attempt in attempts:
            if attempt.ended is None:
                self._end(attempt, stopped_end(attempt, attempt.stop or Stop.TIMED_OUT))
                log.error("executor_did_not_stop", extra=attempt.names())

    async def _run(self, attempt: Attempt) -> None:
        attempt.entered = True
        timer = self._loop.call_later(attempt.job.timeout_ms / 1000, self._stop_one, attempt, Stop.TIMED_OUT)
        failure: Failure | None = None
        outcome = Outcome.SUCCEEDED
        retry_after_s: float | None = None
        try:
            if attempt.stop is None:
                await self._answer(attempt)
        except asyncio.CancelledError:
            outcome, failure = Outcome.TRANSIENT, Failure("interrupted", "the executor was interrupted")
        except ExecutionError as error:
            outcome, failure = Outcome.FAILED, Failure(error.code, str(error), error.status, error.from_provider)
            if isinstance(error, TransientError):
                outcome, retry_after_s = Outcome.TRANSIENT, error.retry_after_s
        except (Exception, SystemExit) as error:  # noqa: BLE001
            outcome, failure = Outcome.TRANSIENT, _unexpected(attempt, error)
        finally:
            timer.cancel()
        if attempt.stop is not None:
            self._end(attempt, stopped_end(attempt, attempt.stop))
        else:
            if failure is None and not attempt.folding.is_whole:
                outcome, failure = Outcome.TRANSIENT, Failure("answer_incomplete", "the answer ended before its end")
            wait = millis(retry_after_s) if retry_after_s is not None else None
            self._end(attempt, _end(attempt, outcome, failure, wait))

    def _end(self, attempt: Attempt, end: AttemptEnd | None) -> None:
        """Note an attempt's end, and tell so after whatever else ends in this turn of the loop."""
        if self._slots.end(attempt, end) and not self._telling:
            self._telling = True
            self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._telling = False
        self._ended()

    async def _answer(self, attempt: Attempt) -> None:
        claimed = attempt.claimed
        executor: Executor = self._executors.loaded(claimed.job.model) or await self._executors.load(claimed.job.model)
        request = Request(claimed.job, claimed.prompt, claimed.session, partial(self._history, claimed))
        events = executor.run(request)
        add = attempt.folding.add
        event: Event
        try:
            async for event in events:
                add(event)
        finally:
            aclose = getattr(events, "aclose", None)
            if aclose is not None:
                await aclose()

    async def _history(self, claimed: Claimed) -> Sequence[Turn]:
        """Load the turns before a job. While the store is away it is asked again, until the attempt is stopped."""
        job = claimed.job
        if is_hidden(job.session_id):
            return turns_before(claimed.prompt)
        pause = 0.1
        while True:
            try:
                return await self._loop.run_in_executor(self._readers, self._store.history, job)
            except StoreUnavailable:
                await asyncio.sleep(random.uniform(pause / 2, pause))
                pause = min(LONGEST_PAUSE_S, pause * 2)


def stopped_end(attempt: Attempt, why: Stop) -> AttemptEnd | None:
    """Say how an attempt ends that was told to stop; None if nobody wants to know."""
    match why:
        case Stop.LOST:
            return None
        case Stop.RETURNED:
            return _end(attempt, Outcome.RETURNED, None)
        case Stop.CANCELLED:
            return _end(attempt, Outcome.CANCELLED, Failure("cancelled", "cancelled"))
        case Stop.TIMED_OUT:
            timeout = attempt.job.timeout_ms / 1000
            return _end(attempt, Outcome.TIMED_OUT, Failure("timeout", f"the attempt took longer than {timeout:g} s"))


def _end(attempt: Attempt, outcome: Outcome, failure: Failure | None, retry_after_ms: int | None = None) -> AttemptEnd:
    folding = attempt.folding
    return AttemptEnd(outcome, folding.parts(), folding.usage, folding.cost, folding.finish, failure, retry_after_ms)


def _unexpected(attempt: Attempt, error: BaseException) -> Failure:
    """Log where an executor broke, without its words, which may be content."""
    frame = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
    log.error(
        "executor_broke",
        extra={
            **attempt.names(),
            "error": type(error).__name__,
            "where": f"{frame.filename}:{frame.lineno}" if frame else "",
        },
    )
    return Failure("internal_error", f"the executor broke: {type(error).__name__}")
