"""Hears the task events as Flower does, in a process of its own: `python -m benchmarks.watcher APP`.

`APP` names a Celery app as `module:attribute`. It answers each line on its standard input with the count of each kind
of event so far, and when the last `task-succeeded` came, as JSON.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from celery import Celery
from celery.events.receiver import EventReceiver


@dataclass(frozen=True)
class Seen:
    """What a watcher has heard."""

    counts: dict[str, int]
    #: When the last `task-succeeded` was heard, in seconds since the epoch.
    last: float

    @property
    def succeeded(self) -> int:
        return self.counts.get("task-succeeded", 0)


class Watcher:
    """A watching process. A context manager."""

    def __init__(self, app: str, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.watcher", app],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(environment),
        )
        self._read()  # it has subscribed

    def seen(self) -> Seen:
        """Ask what it has heard so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Seen:
        assert self._process.stdout is not None
        return Seen(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class _Ears:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last = 0.0

    def hear(self, event: Mapping[str, Any]) -> None:
        kind = event["type"]
        self.counts[kind] += 1
        if kind == "task-succeeded":
            self.last = time.time()

    def tell(self) -> None:
        print(json.dumps({"counts": self.counts, "last": self.last}), flush=True)


class _Receiver(EventReceiver):
    """Says when it has subscribed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.listening = threading.Event()

    def on_consume_ready(self, *arguments: Any, **options: Any) -> None:
        super().on_consume_ready(*arguments, **options)
        self.listening.set()


def _watch(app: Celery) -> None:
    ears = _Ears()
    receiver = _Receiver(app.connection_for_read(), handlers={"*": ears.hear}, app=app)
    threading.Thread(target=receiver.capture, kwargs={"wakeup": False}, daemon=True).start()
    receiver.listening.wait()
    ears.tell()
    for _ in sys.stdin:
        ears.tell()


if __name__ == "__main__":
    module, _, attribute = sys.argv[1].partition(":")
    _watch(getattr(importlib.import_module(module), attribute))
