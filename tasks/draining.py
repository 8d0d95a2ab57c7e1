"""A worker that is told to drain: it claims no more, finishes what it has, and ends, with exit code 0.

It stays connected meanwhile: it is seen, inspected and heard as any other. What is not finished when its time is over
is given back, as at any stop. `tasks.drain` tells it, over the broker.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from celery.platforms import EX_OK
from celery.worker import state as worker_state
from celery.worker.control import Panel

from tasks.broker import TASK_QUEUE
from tasks.wiring import Wiring

log = logging.getLogger(__name__)

COMMAND = "drain"
LOOK_S = 0.05


class Draining:
    """Has one worker obey."""

    def __init__(self, wiring: Wiring, *, grace_s: float, changed: Callable[[], None]) -> None:
        """Make it.

        Args:
            wiring: the worker's.
            grace_s: how long running prompts may take if whoever asks does not say.
            changed: is called when the worker begins to drain.
        """
        self._wiring = wiring
        self._grace_s = grace_s
        self._changed = changed

    def start(self) -> None:
        """Listen for the command."""
        Panel.register(self.drain, name=COMMAND, type="control", args=[("grace", float)])

    def drain(self, state: Any, grace: float | None = None, **_: Any) -> dict[str, Any]:
        """Finish what runs, and end."""
        # In the worker's own thread, the only one that may touch its consumers.
        again = self._wiring.is_draining
        grace_s = self._grace_s if grace is None else max(0.0, float(grace))
        self._wiring.drain(time.monotonic() + grace_s)
        running = len(self._wiring.engine.running())
        if not again:
            log.warning("draining", extra={"running": running, "grace_s": grace_s})
            state.consumer.cancel_task_queue(TASK_QUEUE)
            self._changed()
            threading.Thread(target=self._end, name="draining", daemon=True).start()
        return {"ok": {"running": running, "grace": grace_s}}

    def _end(self) -> None:
        """Have the worker shut down when nothing runs any more, or its time is over."""
        wiring = self._wiring
        while not wiring.engine.is_idle() and time.monotonic() < (wiring.give_back_at or 0.0):
            time.sleep(LOOK_S)
        if worker_state.should_stop in (None, False):
            worker_state.should_stop = EX_OK
