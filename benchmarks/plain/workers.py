"""Plain Celery as processes: its workers, and messages put before them all at once."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

import redis
from celery import Celery

from benchmarks.ground import PATIENCE_S, Ground, answers, free_port
from benchmarks.watcher import Watcher
from tests.support.commands import Command, clean_environment
from tests.support.waiting import eventually

APP = "benchmarks.plain.celery_app"
QUEUE = "celery"
LEAST_URGENT = 9

_PORTION = 1_000


class PlainCelery:
    """Plain Celery on a ground's Valkey, in a database of its own."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._redis = redis.Redis(unix_socket_path=str(ground.valkey.socket), db=1)
        self.environment = {**clean_environment(), "BENCHMARK_BROKER": ground.broker}

    def worker(self, pool: str, slots: int, *, events: bool = False) -> Command:
        """Start a worker and wait until it is ready."""
        command = Command(
            *("-m", "celery", "-A", APP, "worker", "--loglevel", "INFO"),
            *("--pool", pool, "--concurrency", str(slots), "--hostname", f"plain{self._ground.number()}@%h"),
            *("--without-gossip", "--without-mingle", *(["--task-events"] if events else [])),
            output=self._ground.directory / f"plain-{self._ground.number()}.log",
            environment=self.environment,
        )
        command.says("ready.", PATIENCE_S)
        return command

    def api(self) -> tuple[Command, int]:
        """Start the FastAPI application, wait until it answers, and return it with its port."""
        port = free_port()
        command = Command(
            *("-m", "uvicorn", "benchmarks.plain.fastapi_app:make_app", "--factory", "--port", str(port)),
            *("--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "--no-access-log"),
            output=self._ground.directory / f"plain-api-{self._ground.number()}.log",
            environment=self.environment,
        )
        answers(port, "/openapi.json")
        return command, port

    def watcher(self) -> Watcher:
        return Watcher(f"{APP}:app", self.environment)

    def send(self, task: str, arguments: tuple[Any, ...], count: int, *, priority: int = 0) -> float:
        """Put messages before the workers, all at one moment. Returns the moment, by `time.time`."""
        staged = f"staged{self._ground.number()}"
        written = self._messages(task, arguments, priority)
        for start in range(0, count, _PORTION):
            self._redis.lpush(staged, *(next(written) for _ in range(start, min(count, start + _PORTION))))
        began = time.time()
        self._redis.rename(staged, _list(priority))
        return began

    def is_taken(self, priority: int = 0) -> bool:
        """Whether every message has been taken by a pool: none waits, and none is reserved."""
        waiting, reserved = self._redis.llen(_list(priority)), self._redis.hlen("unacked")
        return not waiting and not reserved

    def waiting(self, priority: int = 0) -> int:
        return int(self._redis.llen(_list(priority)))

    def taken_at(self, timeout_s: float, priority: int = 0) -> float:
        """Wait until every message has been taken; return when that was, by `time.time`."""
        eventually(lambda: self.is_taken(priority), timeout_s, what="the queue is drained")
        return time.time()

    def flush(self) -> None:
        self._redis.flushdb()

    def close(self) -> None:
        self._redis.close()

    def _messages(self, task: str, arguments: tuple[Any, ...], priority: int) -> Iterator[bytes]:
        """One message as Celery writes it, over and over, each time with IDs of its own."""
        sample = self._sample(task, arguments, priority)
        told = json.loads(sample)
        task_id, tag = told["headers"]["id"].encode(), told["properties"]["delivery_tag"].encode()
        while True:
            yield sample.replace(task_id, str(uuid.uuid4()).encode()).replace(tag, str(uuid.uuid4()).encode())

    def _sample(self, task: str, arguments: tuple[Any, ...], priority: int) -> bytes:
        with Celery("sender", broker=self._ground.broker, set_as_current=False) as app:
            app.send_task(f"{APP}.{task}", arguments, queue="sample", priority=priority, ignore_result=True)
        key = _list(priority, "sample")
        found = self._redis.rpop(key)
        if not isinstance(found, bytes):
            raise TypeError(f"no message in {key}")
        return found


def _list(priority: int, queue: str = QUEUE) -> str:
    """The list that Celery's Redis transport keeps a queue's messages of a priority in: a step of 0, 3, 6, 9."""
    step = max(step for step in (0, 3, 6, 9) if step <= priority)
    return queue if step == 0 else f"{queue}\x06\x16{step}"
