"""`./run faults --control`: runs plain Celery under faults, and counts what became of its tasks."""

import contextlib
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from tests.faults.ground import Ground, here
from tests.support.commands import Command
from tests.support.waiting import NeverHappenedError, eventually

APP = "tests.faults.control.celery_app"

#: After which a task whose worker is gone is given to another. A running task is, too.
VISIBILITY_S = 5

#: Workers, each with so many threads; and callers.
WORKERS, SLOTS, CALLERS = 3, 12, 6

#: Prompts of a session, which are to be answered one after another.
LONG = 20

#: How long the rest may take when the faults are over: nothing new comes, and nobody is killed.
REST_S = 60.0


@dataclass
class Outcome:
    """What became of the tasks."""

    seed: int
    seconds: float = 0.0
    published: int = 0
    refused: int = 0
    lost: int = 0
    twice: int = 0
    out_of_order: int = 0
    workers_ended: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {count}" for name, count in self.faults.most_common())
        return "\n".join(
            [
                f"plain Celery with late acknowledgements, seed {self.seed}: {self.seconds:.0f} s",
                f"  tasks published    {self.published}, refused {self.refused}",
                f"  lost               {self.lost}",
                f"  answered twice     {self.twice}",
                f"  sessions disordered {self.out_of_order}",
                f"  workers that ended by themselves {self.workers_ended}",
                f"  faults             {self.faults.total()} ({faults})",
            ]
        )


class Control:
    """Plain Celery on a ground of the suite's."""

    def __init__(self, ground: Ground, seed: int, only: Collection[str] = ()) -> None:
        self._ground = ground
        self._only = only
        self._chance = random.Random(seed)
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._kept: set[tuple[str, int]] = set()
        self.answers = ground.directory / "answers.jsonl"
        self.outcome = Outcome(seed)
        self._environment = {
            **here(),
            "CONTROL_BROKER": ground.valkey.broker_url,
            "CONTROL_MODEL": ground.model,
            "CONTROL_ANSWERS": str(self.answers),
            "CONTROL_VISIBILITY_S": str(VISIBILITY_S),
        }
        self._workers = [self._worker(number) for number in range(WORKERS)]

    def run(self, seconds: float) -> Outcome:
        """Publish under faults for so long, wait for the rest, and count."""
        began = time.monotonic()
        callers = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for caller in callers:
            caller.start()
        while time.monotonic() - began < seconds:
            self._fault()
            self._enough.wait(self._chance.uniform(0.2, 1.5))
        self._enough.set()
        for caller in callers:
            caller.join()
        self._refill()
        with contextlib.suppress(NeverHappenedError):  # that is what is counted
            eventually(lambda: self._kept <= self._answered().keys(), REST_S, what="all is answered")
        for worker in self._workers:
            worker.process.kill()
            worker.process.wait()
        self._count()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    def _worker(self, number: int) -> Command:
        arguments = ("-m", "celery", "-A", APP, "worker", "--pool", "threads", "--concurrency", str(SLOTS))
        name = f"control{number}x{self._chance.getrandbits(32)}@%h"
        output = self._ground.directory / f"control-{number}.log"
        return Command(*arguments, "--hostname", name, output=output, environment=self._environment)

    def _refill(self) -> None:
        for number, worker in enumerate(self._workers):
            if worker.process.poll() is not None:
                self.outcome.workers_ended += worker.process.returncode != -9
                self._workers[number] = self._worker(number)

    def _fault(self) -> None:
        """One of the suite's faults, as often as the suite's."""
        kinds: dict[str, tuple[int, Callable[[], None]]] = {
            "worker killed": (12, self._kill),
            "worker frozen": (3, self._freeze),
            "Redis killed": (5, self._kill_redis),
            "Redis flushed": (6, self._ground.valkey.flush),
        }
        if self._only:
            kinds = {kind: done for kind, done in kinds.items() if kind in self._only}
        kind = self._chance.choices(list(kinds), [weight for weight, _ in kinds.values()])[0]
        kinds[kind][1]()
        self.outcome.faults[kind] += 1
        self._refill()

    def _kill(self) -> None:
        worker = self._chance.choice(self._workers)
        worker.process.kill()
        worker.process.wait()

    def _freeze(self) -> None:
        worker = self._chance.choice(self._workers)
        if worker.process.poll() is None:
            os.kill(worker.process.pid, signal.SIGSTOP)
            self._enough.wait(VISIBILITY_S * 1.5)
            os.kill(worker.process.pid, signal.SIGCONT)

    def _kill_redis(self) -> None:
        self._ground.valkey.kill()
        self._enough.wait(self._chance.choice((0, 0.5, 3)))
        self._ground.valkey.start()

    def _call(self, caller: int) -> None:
        app: Any = Celery("caller", broker=self._environment["CONTROL_BROKER"], set_as_current=False)
        chance = random.Random(f"{self.outcome.seed} {caller}")
        number = 0
        with app:
            while not self._enough.wait(chance.uniform(0, 0.15)):
                name = (f"ses_c000_{caller}x{number // LONG}", number % LONG)
                number += 1
                try:
                    app.send_task(f"{APP}.answer", name, retry=False, ignore_result=True)
                except (OSError, redis.RedisError, app.connection().connection_errors):
                    with self._lock:
                        self.outcome.refused += 1
                else:
                    with self._lock:
                        self._kept.add(name)

    def _answered(self) -> Counter[tuple[str, int]]:
        if not self.answers.exists():
            return Counter()
        lines = self.answers.read_text(encoding="utf-8").splitlines()
        return Counter((str(session), int(number)) for session, number in map(json.loads, lines))

    def _count(self) -> None:
        answered = self._answered()
        self.outcome.published = len(self._kept)
        self.outcome.lost = len(self._kept - answered.keys())
        self.outcome.twice = sum(count > 1 for count in answered.values())
        places: dict[str, list[int]] = {}
        for session, number in answered:
            places.setdefault(session, []).append(number)
        self.outcome.out_of_order = sum(numbers != sorted(numbers) for numbers in places.values())


def run(minutes: float, seed: int, only: Collection[str] = ()) -> Outcome:
    """Run the control, under all its faults or some."""
    with tempfile.TemporaryDirectory(prefix="promptq-control-") as name, Ground(Path(name), "sqlite") as ground:
        return Control(ground, seed, only).run(minutes * 60)
