"""A fleet under load with faults, and the judgement at its end."""

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import redis

from domain.clock import millis, system_clock
from tests.crash.clients import Clients
from tests.crash.fleet import LEASE_S, PATIENCE_S, Fleet
from tests.crash.model import RecordingModel
from tests.crash.observer import Observer
from tests.support.checker import assert_holds
from tests.support.history import History, Submission
from tests.support.valkey import ValkeyServer
from tests.support.waiting import NeverHappenedError, eventually

#: Set it to repeat a run with other chances.
SEED_VARIABLE = "PROMPTQ_CRASH_SEED"

#: How long after the last fault every prompt must have ended: a lease, ten seconds, and the prompts ahead of it.
WITHIN_S = LEASE_S + 10 + 5


class Trial:
    """What a scenario plays with."""

    def __init__(self, fleet: Fleet, model: RecordingModel, observer: Observer, valkey: ValkeyServer) -> None:
        #: Of which kind it is: `sqlite` or `postgres`.
        self.database = "sqlite" if fleet.database.startswith("sqlite") else "postgres"
        self.seed = int(os.environ.get(SEED_VARIABLE, "20"))
        self.chance = random.Random(self.seed)
        self.fleet = fleet
        self.model = model
        self.observer = observer
        self.valkey = valkey
        self.clients = Clients(fleet.url, seed=self.seed)
        #: Made by the scenario itself.
        self.submissions: list[Submission] = []

    def until(self, condition: Callable[[], object], what: str, timeout: float = PATIENCE_S) -> None:
        """Wait for something that the run must come to. If it does not, what the checker finds is told first."""
        try:
            eventually(condition, timeout, what=what)
        except NeverHappenedError:
            self.clients.give_up()
            assert_holds(self._history(last_fault=None))
            raise

    def until_asked(self, more: int) -> None:
        """Wait until the model has been asked so many times more."""
        before = len(self.model.calls)
        self.until(lambda: len(self.model.calls) >= before + more, f"{more} more calls of the model")

    def until_hearing(self, workers: int) -> None:
        """Wait until so many workers wait for the doorbell, which they must within 30 seconds."""
        self.until(lambda: self._hearing() >= workers, f"{workers} workers hear the doorbell", timeout=30)

    def holds(self) -> History:
        """End the load, wait until all that was taken has ended, and have the history checked."""
        last_fault = system_clock()
        self.clients.enough(PATIENCE_S)
        self.observer.until_all_have_ended(WITHIN_S)
        history = self._history(last_fault)
        assert_holds(history)
        self.clients.assert_content()
        return history

    def _history(self, last_fault: int | None) -> History:
        jobs, prompts, answers = self.observer.kept()
        return History(
            submissions=[*self.clients.submissions, *self.submissions],
            calls=list(self.model.calls),
            looks=list(self.observer.looks),
            jobs=jobs,
            prompts=prompts,
            answers=answers,
            last_fault=last_fault,
            within_ms=millis(WITHIN_S),
            note=f"{SEED_VARIABLE}={self.seed}",
        )

    def _hearing(self) -> int:
        with redis.Redis(unix_socket_path=str(self.valkey.socket)) as client:
            try:
                return sum(each["cmd"] == "brpop" for each in client.client_list())
            except redis.RedisError:
                return 0


@contextlib.contextmanager
def trial(directory: Path, database: str, valkey: ValkeyServer, port: int) -> Iterator[Trial]:
    """Everything but the processes, which the scenario starts. At the end all of it is gone."""
    with (
        RecordingModel() as model,
        Observer(database) as observer,
        Fleet(directory, database=database, redis=valkey.url, model=model.url, port=port) as fleet,
    ):
        made = Trial(fleet, model, observer, valkey)
        try:
            yield made
        finally:
            made.clients.give_up()
