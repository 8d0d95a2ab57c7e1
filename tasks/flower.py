"""What Flower and its like see of the prompts: each attempt as a Celery task `promptq.prompt`, without any content.

The events are those that a Celery worker sends of its tasks, with the uuid `{job}.{attempt}`; what a commit changed
goes out as one message. They are hints like all events: what cannot be sent now is not sent later.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from celery import Celery
from celery.events.event import get_exchange
from celery.utils.time import utcoffset
from kombu import Connection, Producer
from kombu.exceptions import KombuError

from domain.jobs import Job, State
from tasks.engine.outlets import Commit

log = logging.getLogger(__name__)

TASK = "promptq.prompt"

MOST_TOGETHER = 1_000
"""Events in one message."""

PAUSE_S = 1.0
"""After a message that could not be sent none is tried for this long."""


def task_id(job: Job, attempt: int) -> str:
    """Name an attempt as a task."""
    return f"{job.id}.{attempt}"


def task_arguments(job: Job, attempt: int) -> str:
    """Write what is shown as the task's arguments."""
    return f"{{'job': {job.id!r}, 'session': {job.session_id!r}, 'attempt': {attempt}, 'model': {job.model!r}}}"


def events_of(commit: Commit) -> Iterator[dict[str, Any]]:
    """Make the events of a commit, without the fields that all events have."""
    for job, attempt, runtime_s in commit.taken:
        yield _end(job, task_id(job, attempt), runtime_s)
    for before, _ in commit.lost:
        yield _failed(task_id(before, before.attempt), "worker_lost")
    for job in commit.ended:
        uuid = task_id(job, job.attempt)
        if not job.attempt:
            yield _received(job, uuid)
        yield _revoked(uuid, job)
    for job in commit.claimed:
        uuid = task_id(job, job.attempt)
        yield _received(job, uuid)
        yield {"type": "task-started", "uuid": uuid}


def _received(job: Job, uuid: str) -> dict[str, Any]:
    return {
        "type": "task-received",
        "uuid": uuid,
        "name": TASK,
        "args": "()",
        "kwargs": task_arguments(job, job.attempt),
        "retries": max(0, job.attempt - 1),
        "eta": None,
        "expires": None,
        "root_id": uuid,
        "parent_id": None,
    }


def _end(job: Job, uuid: str, runtime_s: float) -> dict[str, Any]:
    match job.state:
        case State.SUCCEEDED:
            return {"type": "task-succeeded", "uuid": uuid, "result": "succeeded", "runtime": runtime_s}
        case State.CANCELLED | State.EXPIRED:
            return _revoked(uuid, job)
        case State.QUEUED | State.RUNNING:
            why = job.past_attempts[-1].outcome.value if job.past_attempts else ""
            return {"type": "task-retried", "uuid": uuid, "exception": f"Repeated({why!r})", "runtime": runtime_s}
        case State.FAILED:
            code = job.failure.code if job.failure is not None else ""
            return {**_failed(uuid, code), "runtime": runtime_s}


def _failed(uuid: str, code: str) -> dict[str, Any]:
    return {"type": "task-failed", "uuid": uuid, "exception": f"Failed({code!r})", "traceback": None}


def _revoked(uuid: str, job: Job) -> dict[str, Any]:
    return {
        "type": "task-revoked",
        "uuid": uuid,
        "terminated": job.attempt > 0,
        "signum": None,
        "expired": job.state is State.EXPIRED,
    }


class TaskEvents:
    """Sends the events of commits over a connection of its own. For one thread."""

    def __init__(self, app: Celery, hostname: str) -> None:
        """Make one; `hostname` is the worker's name as Celery has it, such as `celery@host`."""
        self._clock = app.clock
        self._common = {"hostname": hostname, "pid": os.getpid()}
        self._connection: Connection = app.connection_for_write()
        self._exchange = get_exchange(self._connection, name=app.conf.event_exchange)
        self._producer: Producer | None = None
        self._trouble: tuple[type[Exception], ...] = (
            KombuError,
            OSError,
            *self._connection.connection_errors,
            *self._connection.channel_errors,
        )
        self._encode = msgspec.json.Encoder().encode
        self._away = False
        self._again_at = 0.0

    def tell(self, commits: Sequence[Commit]) -> None:
        """Send the events of commits. Never raises for trouble with the broker."""
        if time.monotonic() < self._again_at:
            return
        events = [event for commit in commits for event in events_of(commit)]
        now, offset, forward = time.time(), utcoffset(), self._clock.forward
        for event in events:
            event.update(self._common, timestamp=now, utcoffset=offset, clock=forward())
        try:
            for start in range(0, len(events), MOST_TOGETHER):
                self._send(events[start : start + MOST_TOGETHER])
        except self._trouble as error:
            self._failed(error)
        else:
            if self._away:
                self._away = False
                log.info("task_events_sent_again")

    def _send(self, events: list[dict[str, Any]]) -> None:
        if self._producer is None:
            channel = self._connection.channel()
            # Without this, nothing arrives and nothing complains.
            self._exchange(channel).declare()
            self._producer = Producer(channel, auto_declare=False)
        self._producer.publish(
            self._encode(events),
            exchange=self._exchange.name,
            routing_key="task.multi",
            content_type="application/json",
            content_encoding="utf-8",
            headers={"hostname": self._common["hostname"]},
            delivery_mode=1,
        )

    def _failed(self, error: Exception) -> None:
        self._producer = None
        self._connection.collect(socket_timeout=PAUSE_S)
        self._again_at = time.monotonic() + PAUSE_S
        if not self._away:
            self._away = True
            log.warning("task_events_not_sent", extra={"error": type(error).__name__})

    def close(self) -> None:
        """Let go of the connection."""
        self._producer = None
        self._connection.collect(socket_timeout=PAUSE_S)
