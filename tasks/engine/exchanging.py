"""The exchange with the store: hands in ended attempts, takes new ones into the free slots, one transaction a round.

Rounds are not timed: while one is under way more attempts end and wait, and the next round takes them together. A round
comes at once when an attempt has ended, a bell was heard or a head has become ready; else every second or two, in case
nothing of that was heard.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from domain.clock import Millis
from domain.errors import StoreUnavailable
from domain.jobs import AttemptEnd, Failure, Outcome
from storage.base import Exchange, Store
from storage.failpoints import failpoint
from tasks.engine.outlets import Commit
from tasks.engine.pace import Pace
from tasks.engine.slots import Attempt, Slots

log = logging.getLogger(__name__)

LOOK_S = (1.0, 2.0)
"""The time between two looks at an idle store, jittered between these."""

SHORTEST_LOOK_S = 0.05
"""A head may be ready and yet not for us (its session is locked, it is a suspect): no need to ask all the time."""

RING_S = 1.0
"""While this worker's slots stay full, others are told so often that there is more."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
"""After a store that did not answer: full jitter below a ceiling that doubles from the one to the other."""


class Exchanger:
    """The body of the exchanging thread. Its public methods are for other threads."""

    def __init__(
        self,
        store: Store,
        worker: str,
        slots: Slots,
        *,
        lease_ms: Millis,
        start: Callable[[Sequence[Attempt]], None],
        committed: Callable[[Commit], None],
        ring: Callable[[], None],
        saturated: Callable[[bool], None],
    ) -> None:
        """Make one.

        Args:
            store: the store.
            worker: this worker's ID.
            slots: this worker's slots.
            lease_ms: the length of a lease.
            start: begins to run new attempts; it may take a few milliseconds.
            committed: is told what each round changed.
            ring: tells other workers that there may be work for them.
            saturated: is told when a round has filled all slots (True), and when one has not any more (False).
        """
        self._store = store
        self._worker = worker
        self._slots = slots
        self._lease_ms = lease_ms
        self._start = start
        self._committed = committed
        self._ring = ring
        self._tell_saturated = saturated
        self._pace = Pace()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._end_by = 0.0
        self._claiming = True
        #: Set when nothing is being claimed any more.
        self.closed = threading.Event()
        self._paused = False
        self._asked_to_look = True
        self._look_at = 0.0
        self._saturated = False
        self._rung_at = 0.0
        self._ceiling_s = FIRST_PAUSE_S

    def wake(self) -> None:
        """Have what has ended handed in."""
        self._wake.set()

    def look(self) -> None:
        """Have the store asked for work, if a slot is free."""
        self._asked_to_look = True
        self._wake.set()

    def pause(self, *, paused: bool) -> None:
        """Claim nothing for now, or go on."""
        self._paused = paused
        if not paused:
            self.look()

    def close(self) -> None:
        """Claim no more; what ends is handed in still. `closed` is set when what is being claimed now is there."""
        self._claiming = False
        self._wake.set()

    def end(self, within_s: float) -> None:
        """Have the thread end as soon as what has ended is handed in, or has been tried to for so long."""
        self._end_by = time.monotonic() + within_s
        self._ending.set()
        self._wake.set()

    def run(self) -> None:
        """Exchange until `end`."""
        try:
            self._exchange_until_the_end()
        finally:
            self.closed.set()

    def _exchange_until_the_end(self) -> None:
        while True:
            if not self._claiming:
                self.closed.set()
            now = time.monotonic()
            self._wake.wait(max(0.0, self._look_at - now) if self._free(0) else LONGEST_PAUSE_S)
            # Cleared before the ended are taken: who ends after that sets it again.
            self._wake.clear()
            most = self._pace.most()
            ended = self._slots.take(most)
            if len(ended) == most:
                self._wake.set()
            free = self._free(len(ended))
            now = time.monotonic()
            if self._ending.is_set() and (not ended or now > self._end_by):
                return
            if ended or (free and (self._asked_to_look or now >= self._look_at)):
                self._round(ended, free, min(free, most))

    def _free(self, taken: int) -> int:
        return self._slots.free(taken) if self._claiming and not self._paused else 0

    def _round(self, ended: list[Attempt], free: int, asked: int) -> None:
        if asked:
            # Before the store is asked: who asks to look while it answers is asking for the next round.
            self._asked_to_look = False
            self._look_at = time.monotonic() + random.uniform(*LOOK_S)
        finished = [attempt.finished() for attempt in ended]
        suspects = 0 if self._slots.is_watching() else 1
        failpoint("engine.before_exchange")
        try:
            got = self._store.exchange(self._worker, finished, slots=asked, lease_ms=self._lease_ms, suspects=suspects)
        except StoreUnavailable:
            self._slots.put_back(ended)
            self._back_off()
            self.look()
            return
        if self._ceiling_s > FIRST_PAUSE_S:
            log.info("store_answers_again")
            self._ceiling_s = FIRST_PAUSE_S
        failpoint("engine.after_exchange")
        attempts = [Attempt(claimed, self._slots.patience_s) for claimed in got.claimed]
        self._pace.saw([attempt.job for attempt in attempts])
        untaken = {(end.job_id, end.attempt) for end in got.untaken}
        # Those that the store did not answer for are handed in with the next round; nobody is woken for them.
        self._slots.put_back([attempt for attempt in ended if attempt.key[1:] in untaken])
        self._slots.release([attempt for attempt in ended if attempt.key[1:] not in untaken])
        self._slots.add(attempts)
        for end in got.fenced:
            log.warning("end_fenced", extra={"job": end.job_id, "session": end.session_id, "attempt": end.attempt})
        self._substitute(got, ended)
        self._tell(got, ended, attempts)
        self._plan(got, asked, free)
        if attempts:
            self._start(attempts)

    def _back_off(self) -> None:
        if self._ceiling_s == FIRST_PAUSE_S:
            log.warning("store_unavailable")
        if self._ending.wait(random.uniform(0, self._ceiling_s)):
            time.sleep(FIRST_PAUSE_S)
        self._ceiling_s = min(LONGEST_PAUSE_S, self._ceiling_s * 2)

    def _tell(self, got: Exchange, ended: list[Attempt], attempts: list[Attempt]) -> None:
        if not (got.taken or got.ended or got.fenced or attempts):
            return
        # By attempt: the end of an earlier one of the same job, which the store threw away, may be beside it.
        runtimes = {(attempt.job.id, attempt.job.attempt): attempt.runtime_s for attempt in ended}
        taken = [(job, job.attempt, runtimes[job.id, job.attempt]) for job in got.taken]
        began = [attempt.job for attempt in attempts]
        self._committed(Commit(began, taken, got.ended, fenced=len(got.fenced), began=attempts, over=ended))

    def _plan(self, got: Exchange, asked: int, free: int) -> None:
        """Decide when to look next, and whether others should."""
        if not asked:
            if got.taken and not self._claiming:
                self._ring()
            return
        if asked < free and len(got.claimed) >= asked:
            self.look()
            return
        full = len(got.claimed) >= asked
        if full != self._saturated:
            self._saturated = full
            self._tell_saturated(full)
        now = time.monotonic()
        if full and now - self._rung_at >= RING_S:
            self._rung_at = now
            self._ring()
        if not full and got.next_ready is not None:
            wait_s = max((got.next_ready - got.now) / 1000, SHORTEST_LOOK_S)
            self._look_at = min(self._look_at, now + wait_s)

    def _substitute(self, got: Exchange, ended: list[Attempt]) -> None:
        """Hand in a bare failure for an end that the store refuses; if that too is refused, let the lease run out."""
        for finished, error in got.refused:
            attempt = next(a for a in ended if a.job.id == finished.job_id and a.job.attempt == finished.attempt)
            log.error("end_refused", extra={**attempt.names(), "error": type(error).__name__})
            if attempt.substituted:
                continue
            attempt.substituted = True
            attempt.end = AttemptEnd(
                Outcome.FAILED, failure=Failure("result_refused", "the store could not take the answer")
            )
            self._slots.add([attempt])
            self._slots.put_back([attempt])
            self._wake.set()
