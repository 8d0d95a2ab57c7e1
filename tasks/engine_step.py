"""Runs an engine in a Celery worker, from before its first connection to the broker until its end.

The worker's own blueprint starts this step before its consumer, and the consumer connects (and goes on trying to)
inside its own start: so the engine works while there is no broker yet, and while the broker is away.
"""

from __future__ import annotations

import gc
import logging
import time
from typing import Any

from celery import bootsteps
from celery.platforms import EX_FAILURE
from celery.worker import state

from domain.errors import StoreIncompatible, StoreUnavailable
from domain.settings import Settings
from executors.registry import Executors
from storage.notices import Notices
from storage.opening import batches_of, open_stores
from tasks.admission import Admissions, terms_of
from tasks.broker import broker_url
from tasks.doorbell import Doorbell
from tasks.draining import Draining
from tasks.engine.engine import Engine
from tasks.engine.outlets import Audience
from tasks.engine.telling import Teller
from tasks.flower import TaskEvents
from tasks.inspection import Inspection
from tasks.metrics.figures import Figures
from tasks.metrics.showing import Showing
from tasks.metrics.tally import Tally
from tasks.wiring import Wiring

log = logging.getLogger(__name__)


class EngineStep(bootsteps.StartStopStep):
    """Starts and stops the engine with the worker."""

    label = "Engine"
    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._settings: Settings = worker.app.settings
        self._wiring: Wiring | None = None

    def start(self, worker: Any) -> None:
        """Open the store and start an engine on it, in this process."""
        store = open_stores(self._settings)
        try:
            store.ready()
        except StoreUnavailable:
            log.warning("store_unavailable")
        except StoreIncompatible as error:
            log.critical("%s", error)
            raise SystemExit(EX_FAILURE) from error
        doorbell = Doorbell(self._settings)
        notices = Notices(self._settings.redis, self._settings.redis_prefix)
        teller = Teller(store, notices)
        audiences: dict[str, Audience] = {"notices": teller.tell}
        events = None
        if broker_url(self._settings) is not None:
            events = TaskEvents(worker.app, worker.hostname)
            audiences["flower"] = events.tell
        wiring = Wiring(doorbell)
        tally = Tally()
        wiring.engine = Engine(
            store,
            Executors(self._settings),
            self._settings,
            name=worker.hostname,
            audiences=audiences,
            teller=teller,
            batches=batches_of(store),
            count=tally.count,
            ring=doorbell.ring,
            saturated=wiring.saturated,
            failed=_end_worker,
        )
        showing = Showing(
            self._settings,
            Figures(
                tally,
                wiring.engine,
                name=worker.hostname,
                slots=self._settings.concurrency,
                is_draining=lambda: wiring.is_draining,
                shown=self._settings.metrics_port is not None,
            ),
        )
        admissions = Admissions(store, terms_of(self._settings), wiring.engine.admitted)
        worker.app.admissions = admissions
        wiring.at_close = admissions.closing.set
        wiring.at_end = [
            showing.close,
            doorbell.close,
            notices.close,
            *([events.close] if events else []),
            store.close,
        ]
        Inspection(worker, wiring.engine).start()
        Draining(wiring, grace_s=self._settings.grace, changed=showing.now).start()
        self._wiring = worker.promptq = wiring
        _spare_collections()
        wiring.engine.start()
        showing.start()

    def close(self, _worker: Any) -> None:
        """Claim no more, before anything of the worker is stopped."""
        if self._wiring is not None:
            self._wiring.at_close()
            self._wiring.engine.close()

    def stop(self, worker: Any) -> None:
        """Wait for the running prompts as long as the grace allows, then give back what is left, and end.

        The wait is over at once if the worker is told to end cold.
        """
        if self._wiring is None:
            return
        engine = self._wiring.engine
        engine.close()
        until = self._wiring.give_back_at or time.monotonic() + self._settings.grace
        while not engine.is_idle() and time.monotonic() < until and state.should_terminate in {None, False}:
            time.sleep(0.02)
        self.terminate(worker)

    def terminate(self, _worker: Any) -> None:
        """Give back what runs, and end."""
        wiring, self._wiring = self._wiring, None
        if wiring is None:
            return
        wiring.engine.stop()
        for let_go in wiring.at_end:
            let_go()


def _spare_collections() -> None:
    """Collect garbage a tenth as often, and never look at what was loaded at start: a tenth of the work of a prompt."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _end_worker() -> None:
    """Have the worker shut down, with an exit code that says so: its supervisor starts another."""
    state.should_stop = EX_FAILURE
