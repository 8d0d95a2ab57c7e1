"""The kinds of callers of durable sessions."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from tests.faults.caller import Caller, Load
from tests.faults.prompts import DEADLY, Asked, Kind

#: Prompts of one session: enough to make a history, few enough that showing it costs little.
LONG = 20

#: Prompts that come at once, and how many callers bring them.
BURST = 12
BEARERS = 6


def rivals(load: Load, name: str, rival: int) -> None:
    """Submit the same prompts as another: session after session, prompt after prompt."""
    caller = Caller(load, f"{name}/{rival}")
    number = 0
    while not caller.is_enough:
        session = f"ses_{load.round}_{name}x{number // LONG}"
        caller.until_kept(caller.asked(session, number % LONG))
        caller.rest()
        number += 1


def singles(load: Load, name: str) -> None:
    """Submit prompts to a session each, or to one of a few. The first prompts are one of each kind."""
    caller = Caller(load, name)
    kinds = [kind for kind in Kind if load.deadly or kind not in DEADLY]
    number = 0
    while not caller.is_enough:
        place = f"x{number}" if caller.chance.random() < 0.7 else f"y{number // 50}_{caller.chance.randrange(4)}"
        wanted = caller.asked(f"ses_{load.round}_{name}{place}", number)
        if load.number == 0 and name == "s00" and number < len(kinds):
            wanted = replace(wanted, kind=kinds[number], waits=False)
        caller.until_kept(wanted)
        caller.rest()
        number += 1


class Burst:
    """Callers that bring many prompts at once, to a few sessions, some of them twice."""

    def __init__(self, load: Load, name: str) -> None:
        self._load = load
        self._name = name
        self._number = 0
        self._caller = Caller(load, name)
        self._waiting: list[Asked] = []
        self._lock = threading.Lock()
        self._together = threading.Barrier(BEARERS, action=self._gather)
        self.threads: Sequence[threading.Thread] = [
            threading.Thread(target=self._bear, args=(f"{name}/{bearer}",)) for bearer in range(BEARERS)
        ]

    def _gather(self) -> None:
        """Make the next burst, in the thread that came last."""
        if self._load.enough.wait(0.5):
            return
        number = self._number
        self._number += 1
        sessions = [f"ses_{self._load.round}_{self._name}x{number}_{place}" for place in range(3)]
        made = [self._caller.asked(sessions[place % 3], place, waits=False) for place in range(BURST)]
        self._waiting = [*made, *made[::4]]

    def _bear(self, name: str) -> None:
        caller = Caller(self._load, name)
        while True:
            self._together.wait()
            if not self._waiting:
                return
            while (wanted := self._next()) is not None:
                caller.until_kept(wanted)

    def _next(self) -> Asked | None:
        with self._lock:
            return self._waiting.pop() if self._waiting else None
