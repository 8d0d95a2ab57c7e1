"""`celery inspect active` (and Flower's page of a worker): the running prompts, beside ordinary tasks."""

from __future__ import annotations

import os
import time
from typing import Any

from celery.worker.control import Panel

from tasks.engine.slots import Attempt
from tasks.flower import TASK, task_arguments, task_id


def show_running_prompts() -> None:
    """Have this process's workers answer `inspect active` with their running prompts too."""
    tasks_only = Panel.data["active"]
    if getattr(tasks_only, "shows_prompts", False):
        return

    def active(state: Any, safe: bool = False, **options: Any) -> list[dict[str, Any]]:
        """List of prompts and tasks currently being executed."""
        wiring = getattr(state.consumer.controller, "promptq", None)
        prompts = [described(attempt, state.hostname) for attempt in wiring.engine.running()] if wiring else []
        return [*prompts, *tasks_only(state, safe=safe, **options)]

    active.shows_prompts = True  # type: ignore[attr-defined]
    Panel.register(active, name="active", alias="dump_active", type="inspect")


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
