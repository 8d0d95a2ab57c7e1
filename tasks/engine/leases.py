"""Keeps the leases of what this worker holds, and tells attempts to stop that it must not hold any more.

All leases are renewed together, at a third of their length; in between the store is asked about once a second which
attempts are lost or are to be cancelled. A suspect's first two seconds end with a renewal, which is what shows that it
got past them (`domain.lifecycle.lose`).
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from domain.clock import millis
from domain.errors import StoreUnavailable
from domain.jobs import Job, State
from storage.base import Store
from storage.failpoints import failpoint
from tasks.engine.event_loop import EventLoop
from tasks.engine.exchanging import Exchanger
from tasks.engine.outlets import Commit
from tasks.engine.running import Runner
from tasks.engine.slots import Attempt, Slots, Stop

log = logging.getLogger(__name__)

LOOK_S = (0.8, 1.0)
"""The time between two looks at what is lost or cancelled."""


class LeaseKeeper:
    """The body of the thread that keeps leases."""

    def __init__(
        self,
        store: Store,
        worker: str,
        slots: Slots,
        *,
        lease_s: float,
        event_loop: EventLoop,
        runner: Runner,
        exchanger: Exchanger,
        committed: Callable[[Commit], None],
        failed: Callable[[], None],
    ) -> None:
        """Make one.

        Args:
            store: the store.
            worker: this worker's ID.
            slots: what this worker holds.
            lease_s: the length of a lease.
            event_loop: where the attempts run.
            runner: stops them.
            exchanger: is woken when a suspect has proved itself, and paused while the loop is stuck.
            committed: is told which attempts ended with their session.
            failed: is called when the event loop has been stuck for longer than a lease.
        """
        self._store = store
        self._worker = worker
        self._slots = slots
        self._lease_s = lease_s
        self._event_loop = event_loop
        self._runner = runner
        self._exchanger = exchanger
        self._committed = committed
        self._failed = failed
        self._ending = threading.Event()
        self._renew_at = 0.0
        self._silence_s = 0.0
        self._away = False
        self._stuck_s = slots.patience_s

    def end(self) -> None:
        """Have the thread end."""
        self._ending.set()

    def run(self) -> None:
        """Keep leases until `end`."""
        while not self._ending.wait(self._pause_s()):
            self._watch_the_loop()
            now = time.monotonic()
            attempts = self._slots.all()
            self._runner.give_up([attempt for attempt in attempts if attempt.ended is None and now >= attempt.stop_by])
            outrun = _outrun(attempts)
            self._runner.stop(outrun, Stop.LOST)
            held = [attempt for attempt in attempts if attempt.is_renewable(now) and attempt not in outrun]
            if held and not self._loop_is_dead:
                self._ask(held, now)

    def _pause_s(self) -> float:
        longest = min(random.uniform(*LOOK_S), self._lease_s / 3)
        if self._away:
            return longest / 2
        attempts = self._slots.all()
        if not attempts:
            return longest
        now = time.monotonic()
        due = [attempt.watched_until for attempt in attempts if attempt.is_unproven]
        return max(0.0, min(now + longest, self._renew_at, *due) - now)

    def _ask(self, held: Sequence[Attempt], now: float) -> None:
        proven = [attempt for attempt in held if attempt.is_unproven and now >= attempt.watched_until]
        renews = bool(proven) or now >= self._renew_at
        keys = [attempt.key for attempt in held]
        try:
            if renews:
                failpoint("engine.before_renew")
                beat = self._store.renew(self._worker, keys, lease_ms=millis(self._lease_s))
            else:
                beat = self._store.look(self._worker, keys)
        except StoreUnavailable:
            if not self._away:
                log.warning("leases_not_kept", extra={"held": len(held)})
            self._away = True
            return
        self._away = False
        if renews:
            self._renew_at = now + self._lease_s / 3
        for attempt in proven:
            attempt.is_proven = True
        if proven:
            self._exchanger.look()
        lost = [attempt for attempt in held if attempt.job.id in beat.lost and attempt.ended is None]
        if lost:
            self._runner.stop(lost, Stop.LOST)
            self._tell_deleted(lost)
        self._runner.stop([attempt for attempt in held if attempt.job.id in beat.cancelled], Stop.CANCELLED)

    def _tell_deleted(self, lost: Sequence[Attempt]) -> None:
        """Tell of attempts that ended with their session: nobody hands them in, and no mending finds them."""
        with contextlib.suppress(StoreUnavailable):
            jobs = self._store.jobs_by_id([attempt.key[:2] for attempt in lost])
            deleted = [attempt.job for attempt in lost if _is_deleted(jobs.get(attempt.job.id), attempt)]
            if deleted:
                self._committed(Commit(ended=deleted))

    def _watch_the_loop(self) -> None:
        """Claim nothing while an executor blocks the event loop: nobody would run it."""
        was_stuck = self._silence_s > self._stuck_s
        self._silence_s = self._event_loop.silence_s()
        is_stuck = self._silence_s > self._stuck_s
        if is_stuck != was_stuck:
            self._exchanger.pause(paused=is_stuck)
            log.error("event_loop_stuck" if is_stuck else "event_loop_answers_again")
        if self._loop_is_dead:
            self._failed()

    @property
    def _loop_is_dead(self) -> bool:
        """Whether the loop has been stuck for longer than a lease: its prompts are better run elsewhere."""
        return self._silence_s > max(self._lease_s, 2 * self._stuck_s)


def _is_deleted(now: Job | None, attempt: Attempt) -> bool:
    """Tell whether an attempt ended with its session, by what is kept of its job now."""
    return now is None or (now.attempt == attempt.job.attempt and now.state is State.CANCELLED)


def _outrun(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Pick the attempts whose job has a later one here: it was lost, and this worker got it again.

    The store is asked about jobs, so its answer would be about the later attempt.
    """
    latest: dict[str, int] = {}
    for attempt in attempts:
        latest[attempt.job.id] = max(attempt.job.attempt, latest.get(attempt.job.id, 0))
    return [attempt for attempt in attempts if attempt.job.attempt < latest[attempt.job.id]]
