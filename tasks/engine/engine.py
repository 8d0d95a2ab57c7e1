"""The engine of one worker: its parts, put together, started and stopped."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from domain.clock import millis
from domain.prompts import Admission, Disposition
from domain.requests.prompts import Terms
from domain.settings import Settings
from executors.registry import Executors, installed
from storage.base import Store
from storage.batch_lines import BatchTerms
from storage.batches import Batches
from tasks.batches.clerk import Clerk
from tasks.engine.duties import Duties
from tasks.engine.event_loop import EventLoop
from tasks.engine.exchanging import Exchanger
from tasks.engine.identity import new_worker_id
from tasks.engine.leases import LeaseKeeper
from tasks.engine.outlets import Audience, Commit, Outlet
from tasks.engine.running import Runner
from tasks.engine.slots import PATIENCE_S, Attempt, Slots, Stop
from tasks.engine.telling import Teller
from tasks.engine.threads import EngineThread

log = logging.getLogger(__name__)

RELEASE_S = 3.0
"""The longest that a stop waits for attempts to let go, and again for the store to take them back."""

OUTLETS_S = 1.0


def _nothing(*_: object) -> None:
    """Tell nobody."""


class Engine:
    """Claims, runs and finishes prompts, many at once, until it is stopped. Made after any fork, used once."""

    def __init__(
        self,
        store: Store,
        executors: Executors,
        settings: Settings,
        *,
        name: str | None = None,
        audiences: dict[str, Audience] | None = None,
        teller: Teller | None = None,
        batches: Batches | None = None,
        count: Callable[[Commit], None] = _nothing,
        ring: Callable[[], None] = _nothing,
        saturated: Callable[[bool], None] = _nothing,
        failed: Callable[[], None] = _nothing,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Put an engine together; nothing runs yet.

        Args:
            store: the store; whoever opened it closes it after `stop`.
            executors: what answers; the engine closes them.
            settings: `concurrency`, `lease` and `retention` are looked at.
            name: the worker's own, which no other has; with it, leases left by an earlier run of it are ended.
            audiences: who is told what has been committed, by name.
            teller: who is told besides what the answers of attempts have grown by; it is the audience `notices`.
            batches: the files and batches of the store; None: this engine looks after none.
            count: is told each commit at once, in the thread that made it; it must not wait.
            ring: tells the other workers that there may be work for them. It must not wait.
            saturated: is told when all slots have been filled (True) and when one stayed empty (False).
            failed: is called, perhaps more than once, when the engine cannot go on.
            patience_s: how long an executor may take to let go when told to, and the event loop to answer.
        """
        self.worker = new_worker_id(name)
        self._count = count
        self._ring = ring
        self._stopped = False
        self._slots = Slots(settings.concurrency, patience_s)
        self._event_loop = EventLoop(failed)
        self._runner = Runner(self._event_loop, executors, store, self._slots, ended=self._on_ended)
        self._teller = teller
        self._outlets = {name: Outlet(name, tell, failed) for name, tell in (audiences or {}).items()}
        self._exchanger = Exchanger(
            store,
            self.worker,
            self._slots,
            lease_ms=millis(settings.lease),
            start=self._runner.start,
            committed=self._publish,
            ring=ring,
            saturated=saturated,
        )
        self._leases = LeaseKeeper(
            store,
            self.worker,
            self._slots,
            lease_s=settings.lease,
            event_loop=self._event_loop,
            runner=self._runner,
            exchanger=self._exchanger,
            committed=self._publish,
            failed=failed,
        )
        self._duties = Duties(
            store,
            self.worker,
            lease_s=settings.lease,
            retention_ms=millis(settings.retention * 86_400),
            succeeds=name is not None,
            committed=self._publish,
            woke=self._on_work,
        )
        self._clerk: Clerk | None = None
        if batches is not None:
            self._clerk = Clerk(
                batches,
                store,
                BatchTerms.of(settings, Terms(installed(), echo_faults=settings.echo_faults)),
                self.worker,
                retention_ms=millis(settings.retention * 86_400),
                ended=lambda jobs: self._publish(Commit(ended=jobs)),
                woke=self._on_work,
            )
        self._looking_after = EngineThread("batches", self._clerk.run, failed) if self._clerk is not None else None
        self._exchanging = EngineThread("exchange", self._exchanger.run, failed)
        self._keeping = EngineThread("leases", self._leases.run, failed)
        self._mending = EngineThread("duties", self._duties.run, failed)

    def start(self) -> None:
        """Begin to work."""
        self._event_loop.start()
        for outlet in self._outlets.values():
            outlet.start()
        if self._teller is not None:
            self._teller.attach(self._event_loop, self._outlets["notices"].put)
        for thread in (self._exchanging, self._keeping, self._mending):
            thread.start()
        if self._looking_after is not None:
            self._looking_after.start()
        log.info("engine_started", extra={"worker": self.worker})

    def look(self) -> None:
        """Ask the store for work now: a bell was heard."""
        self._exchanger.look()
        if self._clerk is not None:
            self._clerk.wake()

    def admitted(self, admission: Admission) -> None:
        """Tell of a prompt that was taken in this worker, and look for it."""
        if admission.disposition is Disposition.ADMITTED:
            self._publish(Commit(ended=admission.ended, admitted=[admission]))
            self._on_work()

    def running(self) -> Sequence[Attempt]:
        """Return the attempts that run now."""
        return [attempt for attempt in self._slots.all() if attempt.ended is None]

    def used(self) -> int:
        """Return how many slots are taken."""
        return len(self._slots)

    def close(self) -> None:
        """Claim no more. What runs goes on, and is handed in."""
        self._exchanger.close()

    def is_idle(self) -> bool:
        """Tell, after `close`, whether nothing is held any more, or nothing that is held can be handed in."""
        return self._exchanger.closed.is_set() and not (len(self._slots) and self._exchanging.is_alive())

    def stop(self) -> None:
        """End at once: give back what still runs, hand in all ends, let go of everything.

        Takes a few seconds at most, and much less if executors let go and the store answers. For a graceful stop call
        `close` first, and wait until it `is_idle` or the grace is over. A second call does nothing.
        """
        if self._stopped:
            return
        self._stopped = True
        self.close()
        self._duties.end()
        if self._clerk is not None:
            self._clerk.end()
        self._release()
        self._exchanger.end(RELEASE_S)
        self._exchanging.join(RELEASE_S)
        self._leases.end()
        for thread in (self._keeping, self._mending, self._looking_after):
            if thread is not None:
                thread.join(RELEASE_S)
        for outlet in self._outlets.values():
            outlet.stop(OUTLETS_S)
        self._runner.close()
        self._event_loop.stop(RELEASE_S)
        log.info("engine_stopped", extra={"worker": self.worker, "left": len(self._slots)})

    def _release(self) -> None:
        """Have every running attempt return its job; one that does not let go is given up."""
        self._exchanger.closed.wait(RELEASE_S)
        self._runner.stop(self.running(), Stop.RETURNED)
        if not self._wait_until_none_runs(RELEASE_S):
            self._runner.give_up(self.running())
            self._wait_until_none_runs(OUTLETS_S)

    def _wait_until_none_runs(self, timeout_s: float) -> bool:
        give_up_at = time.monotonic() + timeout_s
        while self.running():
            if time.monotonic() > give_up_at:
                return False
            time.sleep(0.01)
        return True

    def _publish(self, commit: Commit) -> None:
        self._count(commit)
        for outlet in self._outlets.values():
            outlet.put(commit)

    def _on_ended(self) -> None:
        self._exchanger.wake()

    def _on_work(self) -> None:
        self._exchanger.look()
        self._ring()
