"""The body of the thread that looks after all batches, in one worker at a time.

Every worker asks for the duty; whoever has it keeps it, and is followed soon after it is gone. It holds nothing that
is not in the store: who follows goes on where the batches are, and a step is taken once, whoever believes to have the
duty.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from domain.batches import life
from domain.batches.batch import Batch, BatchState
from domain.clock import Millis, millis
from domain.errors import BacklogFull, FileNotFound, StoreUnavailable
from domain.jobs import Job
from storage.base import Store
from storage.batch_lines import BatchTerms
from storage.batches import Batches, Load, Name
from storage.failpoints import failpoint
from tasks.batches import watching
from tasks.batches.feeding import TOGETHER, Feeder
from tasks.batches.reading import Reading

log = logging.getLogger(__name__)

DUTY = "batches"

HOLD_S = 6.0
"""For how long the duty is held; asked for anew, or again, after a third of that."""

READY = 1024
"""Heads of a batch that wait for a worker: enough that none waits for the next lines."""

MOST_OPEN = 20_000
"""Open lines of a batch. Many prompts to few sessions leave few heads."""

MOST_WATCHED = 2_000
"""The same, of a batch with ephemeral lines: these are asked after one by one."""

STEPS = 8
"""How many steps one batch takes before it is another's turn."""

PAUSE_S = 0.05
IDLE_S = 0.5
"""The time between two rounds: while some batch is at work, and while none is."""

WATCH_S = 0.3
TIDY_S = 2.0

PORTION = 200


class Clerk:
    """Looks after batches. `run` is for one thread; the other public methods are for any."""

    def __init__(
        self,
        batches: Batches,
        store: Store,
        terms: BatchTerms,
        worker: str,
        *,
        retention_ms: Millis,
        ended: Callable[[list[Job]], None],
        woke: Callable[[], None],
    ) -> None:
        """Make one.

        Args:
            batches: the store of files and batches.
            store: the store of sessions, both keepers.
            terms: what this server takes in files.
            worker: this worker's ID.
            retention_ms: how long batches that have ended are kept.
            ended: is told of jobs that ended without a worker.
            woke: is called when there may be work to claim.
        """
        self._batches = batches
        self._store = store
        self._terms = terms
        self._worker = worker
        self._retention_ms = retention_ms
        self._ended = ended
        self._woke = woke
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._held_until = 0.0
        self._pool = ThreadPoolExecutor(16, thread_name_prefix="batches-ephemeral")
        self._reading = Reading(batches, terms, done=self._wake.set)
        self._feeders: dict[Name, Feeder] = {}
        self._watched_at: dict[Name, float] = {}
        self._tidied_at = 0.0

    def wake(self) -> None:
        """Look after the batches soon: one may be new."""
        self._wake.set()

    def end(self) -> None:
        """Have the thread end after the step that it is in."""
        self._ending.set()
        self._wake.set()
        self._reading.end()

    def run(self) -> None:
        """Look after the batches until `end`."""
        try:
            while not self._ending.is_set():
                try:
                    pause = self._round()
                except StoreUnavailable:
                    log.debug("batches_not_looked_after")
                    pause = IDLE_S
                self._wake.wait(pause)
                self._wake.clear()
                self._ending.wait(min(pause, PAUSE_S))  # who rings all the time is not heard more often
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _round(self) -> float:
        """Take some steps of each batch; returns how long to wait until the next round."""
        if not self._has_duty():
            self._feeders.clear()
            return HOLD_S / 3 * random.uniform(0.5, 1.0)
        active = self._batches.active()
        names = {(batch.tenant, batch.id) for batch in active}
        self._feeders = {name: feeder for name, feeder in self._feeders.items() if name in names}
        self._reading.keep(names)
        is_busy = False
        for batch in active:
            if self._ending.is_set() or not self._has_duty():
                break
            is_busy = self._look_after(batch) or is_busy
        if time.monotonic() - self._tidied_at > TIDY_S:
            self._tidied_at = time.monotonic()
            while self._batches.tidy(retention_ms=self._retention_ms, limit=500):
                if is_busy or self._ending.wait(PAUSE_S) or not self._has_duty():
                    break
        return 0.0 if is_busy else PAUSE_S if active else IDLE_S

    def _has_duty(self) -> bool:
        now = time.monotonic()
        if now < self._held_until - HOLD_S * 2 / 3:
            return True
        if self._store.hold(DUTY, self._worker, lease_ms=millis(HOLD_S)):
            self._held_until = now + HOLD_S
            return True
        self._held_until = 0.0
        return False

    def _look_after(self, batch: Batch) -> bool:
        """Take some steps of one batch. Returns whether there is more to do at once."""
        try:
            match batch.state:
                case BatchState.VALIDATING:
                    return self._begin(batch)
                case BatchState.IN_PROGRESS:
                    return self._go_on(batch)
                case _:
                    return self._close(batch)
        except BacklogFull:
            return False
        except FileNotFound:
            log.error("batch_input_gone", extra={"batch": batch.id})  # noqa: TRY400 - no content in logs
            return False

    def _begin(self, batch: Batch) -> bool:
        if batch.expires <= self._batches.load(batch, 1).now:
            self._batches.change(batch.tenant, batch.id, life.expire)
            return False
        findings = self._reading.findings(batch)
        if findings is None:
            return False
        failpoint("batches.before_begin")
        begun = self._batches.begin(batch, findings)
        failpoint("batches.after_begin")
        log.info("batch_begun", extra={"batch": batch.id, "state": begun.state.value, "lines": begun.total})
        return begun.state is BatchState.IN_PROGRESS

    def _go_on(self, batch: Batch) -> bool:
        load = self._batches.load(batch, MOST_OPEN)
        if batch.expires <= load.now:
            self._batches.change(batch.tenant, batch.id, life.expire)
            return True
        if batch.paused:
            self._collect(batch)
            return self._batches.hold(batch, PORTION) == PORTION
        if load.held and self._batches.release(batch, PORTION):
            self._woke()
            return True
        is_busy = batch.passed < batch.total and self._feed(batch, load)
        self._collect(batch)
        return is_busy or self._settle(batch)

    def _feed(self, batch: Batch, load: Load) -> bool:
        """Pass lines until enough heads of the batch wait for a worker. Returns whether more are to come at once."""
        room = (MOST_WATCHED if batch.has_ephemeral else MOST_OPEN) - load.open
        if batch.request.max_in_flight is not None:
            room = min(room, batch.request.max_in_flight - load.open)
        ready = load.ready
        for _ in range(STEPS):
            if ready >= READY or room <= 0 or self._ending.is_set():
                return False
            feeder = self._feeder(batch)
            failpoint("batches.before_pass")
            admitted = feeder.feed(batch, min(room, TOGETHER))
            failpoint("batches.after_pass")
            if admitted is None:
                self._feeders.pop((batch.tenant, batch.id), None)
                return False
            if admitted:
                self._woke()
            ready += admitted
            room -= admitted
            batch = batch.evolve(place=feeder.place)
        return True

    def _feeder(self, batch: Batch) -> Feeder:
        name = (batch.tenant, batch.id)
        feeder = self._feeders.get(name)
        if feeder is None or feeder.place != batch.place:
            repeated = self._reading.repeated(batch)
            feeder = self._feeders[name] = Feeder(
                self._batches, self._store, self._terms, batch, repeated=repeated, pool=self._pool
            )
        return feeder

    def _collect(self, batch: Batch) -> None:
        name = (batch.tenant, batch.id)
        if time.monotonic() - self._watched_at.get(name, 0.0) > WATCH_S:
            watching.collect(self._batches, self._store, batch)
            self._watched_at[name] = time.monotonic()

    def _close(self, batch: Batch) -> bool:
        """End what is open of a batch, give what waits its outcome, and end the batch when all is done."""
        ended, asked = self._batches.cancel_jobs(batch, PORTION)
        if ended:
            self._ended(ended)
        if not asked and batch.passed < batch.total:
            feeder = self._feeder(batch)
            if not feeder.close(batch):
                self._feeders.pop((batch.tenant, batch.id), None)
            return True
        if not asked:
            ended = watching.cancel(self._batches, self._store, batch)
            if ended:
                self._ended(ended)
        self._collect(batch)
        return asked > 0 or self._settle(batch)

    def _settle(self, batch: Batch) -> bool:
        """End a batch all of whose lines have their outcome; returns False, for there is nothing left to do."""
        if batch.passed < batch.total or self._batches.load(batch, 1).open:
            return False
        settled = self._batches.settle((batch.tenant, batch.id))
        if settled is not None:
            self._watched_at.pop((batch.tenant, batch.id), None)
            log.info("batch_ended", extra={"batch": batch.id, "state": settled.state.value})
        return False
