"""Running prompts where Celery shows running tasks: in `celery inspect active`, and in the count of every heartbeat."""

from __future__ import annotations

import os
import time
from typing import Any

from celery.signals import heartbeat_sent
from celery.worker import state as worker_state
from celery.worker.control import Panel

from tasks.engine.engine import Engine
from tasks.engine.slots import Attempt
from tasks.flower import TASK, task_arguments, task_id


class _Prompt:
    """Stands for a running prompt among Celery's active requests while a heartbeat counts them.

    To whoever else looks at it there, it is a request that there is no need to cancel.
    """

    class task:  # noqa: N801 - Celery's name
        acks_late = True

    acknowledged = True


class Inspection:
    """Shows the prompts that an engine runs."""

    def __init__(self, worker: Any, engine: Engine) -> None:
        self._worker = worker
        self._engine = engine
        self._tasks_only = Panel.data["active"]
        self._counted: list[_Prompt] = []

    def start(self) -> None:
        """Have this process's worker show its running prompts."""
        Panel.register(self.active, name="active", alias="dump_active", type="inspect")
        heartbeat_sent.connect(self._count, weak=False)

    def active(self, state: Any, safe: bool = False, **options: Any) -> list[dict[str, Any]]:
        """List of prompts and tasks currently being executed."""
        self._counted.clear()
        prompts = [described(attempt, state.hostname) for attempt in self._engine.running()]
        return [*prompts, *self._tasks_only(state, safe=safe, **options)]

    def _count(self, **_: Any) -> None:
        """Be counted in the heartbeat that is about to be sent, and then no more: Celery keeps these weakly."""
        self._counted = [_Prompt() for _ in self._engine.running()]
        worker_state.active_requests.update(self._counted)
        self._worker.consumer.call_soon(self._counted.clear)


def described(attempt: Attempt, hostname: str) -> dict[str, Any]:
    """Describe a running attempt as Celery describes a task, without content."""
    job = attempt.job
    return {
        "id": task_id(job, job.attempt),
        "name": TASK,
        "args": [],
        "kwargs": {"job": job.id, "session": job.session_id, "attempt": job.attempt, "model": job.model},
        "kwargsrepr": task_arguments(job, job.attempt),
        "type": TASK,
        "hostname": hostname,
        "time_start": time.time() - attempt.runtime_s,
        "acknowledged": True,
        "delivery_info": {},
        "worker_pid": os.getpid(),
    }
