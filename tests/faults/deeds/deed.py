"""What a deed is, and what it has to do with."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from domain.clock import system_clock
from tests.faults.crew import Crew
from tests.faults.ground import Ground
from tests.support.history import Fault


class Unmet(Exception):
    """Something did not come back in time: a row of the table of faults is broken."""

    def __init__(self, row: str, what: str) -> None:
        super().__init__(what)
        self.row = row


@dataclass
class Scene:
    """A fleet under load."""

    ground: Ground
    crew: Crew
    chance: random.Random
    lease_s: float
    #: Is set when the round is over: whatever waits goes on to undo what it did.
    enough: threading.Event = field(default_factory=threading.Event)

    @property
    def is_sqlite(self) -> bool:
        return self.ground.kind == "sqlite"

    def let(self, seconds: float) -> None:
        """Let a fault last."""
        self.enough.wait(seconds)

    def until(self, condition: Callable[[], object], within_s: float, row: str, what: str) -> None:
        """Wait for what must come back.

        Raises:
            Unmet: it has not.
        """
        give_up_at = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > give_up_at:
                raise Unmet(row, f"not {what} within {within_s:g} s")
            time.sleep(0.1)

    def all_hear(self) -> bool:
        """Whether every worker that lives waits for the doorbell; one whose slots are full does not, for a while."""
        try:
            with redis.Redis(unix_socket_path=str(self.ground.valkey.socket), socket_timeout=2) as client:
                hearing = sum(bool(each["cmd"] == "brpop") for each in client.client_list())
        except redis.RedisError:
            return False
        return hearing >= len(self.crew.workers)


@dataclass(frozen=True)
class Deed:
    """Something that can be done to a fleet, again and again."""

    kind: str
    do: Callable[[Scene], None]
    #: What is done to one lane comes one after another; lanes go on side by side.
    lane: str
    databases: tuple[str, ...] = ("sqlite", "postgres")
    loses_redis: bool = False
    #: Whether nothing of it may cost an attempt.
    is_gentle: bool = False
    #: How often it comes in the long form, beside the others.
    weight: int = 1

    def on(self, scene: Scene) -> Fault:
        """Do it, and say what came of it."""
        began = system_clock()
        complaint, row = "", ""
        try:
            self.do(scene)
        except Unmet as unmet:
            complaint, row = str(unmet), unmet.row
        return Fault(self.kind, began, system_clock(), self.loses_redis, complaint, row)
