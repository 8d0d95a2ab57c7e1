"""What one engine at a time does for all: reconcile, and the removal of old records.

Every engine asks for the duty every few seconds, jittered; whoever has it keeps it. If that worker ends, another has it
soon after.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable

from domain.clock import Millis, millis
from domain.errors import StoreUnavailable
from storage.base import Store
from storage.failpoints import failpoint
from tasks.engine.identity import is_predecessor
from tasks.engine.outlets import Commit, Mended

log = logging.getLogger(__name__)

DUTY = "reconcile"

LONGEST_ROUND_S = 3.0
"""The time between two rounds, for leases of nine seconds and more; for shorter ones a third of the lease."""

HOLD_ROUNDS = 3
"""The duty is held for so many rounds: a holder that is gone is followed before the leases it held have run out."""

RECONCILE_LIMIT = 200
PRUNE_LIMIT = 500
"""Jobs in one transaction: small, so that nobody waits long for it."""

PRUNE_PAUSE_S = 0.05
"""Between two such removals, so that others have the database for most of the time; some thousand jobs a second."""


class Duties:
    """The body of the thread that does what one engine does for all."""

    def __init__(
        self,
        store: Store,
        worker: str,
        *,
        lease_s: float,
        retention_ms: Millis,
        succeeds: bool = False,
        committed: Callable[[Commit], None],
        woke: Callable[[], None],
    ) -> None:
        """Make one.

        Args:
            store: the store.
            worker: this worker's ID.
            lease_s: the length of the leases on jobs.
            retention_ms: how long the records of ended jobs are kept.
            succeeds: whether leases of earlier runs of this worker are to be ended, before all else.
            committed: is told what reconcile changed.
            woke: is called when there may be work to claim.
        """
        self._store = store
        self._worker = worker
        self._round_s = min(LONGEST_ROUND_S, lease_s / 3)
        self._retention_ms = retention_ms
        self._committed = committed
        self._woke = woke
        self._ending = threading.Event()
        self._succeeds = succeeds

    def end(self) -> None:
        """Have the thread end after the step that it is in."""
        self._ending.set()

    def run(self) -> None:
        """Ask for the duty, and do it, until `end`."""
        if self._succeeds:
            self._try(self._succeed)
        while not self._ending.wait(random.uniform(0.5, 1.0) * self._round_s):
            self._try(self._do)

    def _try(self, do: Callable[[], None]) -> None:
        try:
            do()
        except StoreUnavailable:
            log.debug("duty_not_done")

    def _do(self) -> None:
        if self._succeeds:
            self._succeed()
        if self._store.hold(DUTY, self._worker, lease_ms=millis(HOLD_ROUNDS * self._round_s)):
            self._reconcile()
            self._prune()

    def _succeed(self) -> None:
        """Take what an earlier run of this worker held for lost, now: it need not wait for its leases to run out."""
        gone = [other for other in self._store.holders() if is_predecessor(other, self._worker)]
        for other in gone:
            left = self._store.end_leases(other)
            log.warning("predecessor_lost", extra={"predecessor": other, "jobs": left})
        self._succeeds = False
        if gone:
            self._reconcile()

    def _prune(self) -> None:
        """Remove old records for as long as there are more than one step takes, but reconcile again in time."""
        until = time.monotonic() + self._round_s
        while True:
            pruned = self._store.prune(older_than_ms=self._retention_ms, limit=PRUNE_LIMIT)
            if pruned:
                self._committed(Commit(mended=Mended(pruned=pruned)))
            if pruned < PRUNE_LIMIT or time.monotonic() > until or self._ending.wait(PRUNE_PAUSE_S):
                return

    def _reconcile(self) -> None:
        while not self._ending.is_set():
            failpoint("engine.before_reconcile")
            mended = self._store.reconcile(limit=RECONCILE_LIMIT)
            failpoint("engine.after_reconcile")
            if mended.woke:
                self._committed(Commit(ended=mended.ended, lost=mended.lost, mended=Mended(stamped=mended.stamped)))
            if mended.lost:
                log.warning("leases_ran_out", extra={"jobs": len(mended.lost)})
            if mended.woke:
                self._woke()
            if max(len(mended.lost), len(mended.ended), mended.stamped) < RECONCILE_LIMIT:
                return
