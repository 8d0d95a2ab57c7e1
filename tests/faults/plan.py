"""What is done in a run."""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tests.faults import deeds
from tests.faults.deeds import Deed
from tests.faults.prompts import GOOD_LIMIT

LANES = ("workers", "servers")


@dataclass(frozen=True)
class Plan:
    """One round: what is done, how long, and under which load."""

    #: The most that it takes, without its end; a deck that is dealt once may be over before.
    seconds: float
    deeds: tuple[Deed, ...]
    #: Whether each deed is done once, or by its weight until the time is over.
    once: bool
    workers: int = 3
    clients: int = 2
    #: Prompts a second of one caller.
    rate: float = 6.0
    #: How often prompts come that take whole workers along, beside the usual.
    deadly: float = 0.15
    #: How many charged attempts a good prompt may have: where nothing but poison ends workers, the usual number.
    good_limit: int = GOOD_LIMIT
    lease_s: float = 2.0

    @property
    def is_gentle(self) -> bool:
        return all(deed.is_gentle for deed in self.deeds) and not self.deadly

    def lane(self, name: str, chance: random.Random) -> Iterator[Deed]:
        """What is done in a lane, one after another."""
        mine = [deed for deed in self.deeds if deed.lane == name]
        if self.once:
            chance.shuffle(mine)
            yield from mine
            return
        while mine:
            dealt = [deed for deed in mine for _ in range(deed.weight)]
            chance.shuffle(dealt)
            yield from dealt


def of(database: str, only: Collection[str] = ()) -> tuple[Deed, ...]:
    """The deeds for a database, or some of them."""
    return tuple(deed for deed in deeds.ALL if database in deed.databases and (not only or deed.kind in only))


def short(database: str) -> list[Plan]:
    """Everything once; and before that, a change of all processes that costs nothing."""
    gentle = tuple(deed for deed in of(database) if deed.is_gentle)
    return [
        Plan(30, gentle, once=True, deadly=0),
        poisoned(15),
        Plan(150, tuple(deed for deed in of(database) if not deed.is_gentle), once=True),
    ]


def poisoned(seconds: float) -> Plan:
    """Poison among good prompts, and nothing else: none of those may fail for it, though they have few attempts."""
    return Plan(seconds, (), once=False, deadly=0.7, good_limit=3)


def long(
    database: str,
    minutes: float,
    *,
    only: Collection[str] = (),
    round_s: float = 75,
    deadly: float = 0.15,
    good_limit: int = GOOD_LIMIT,
) -> Iterator[Plan]:
    """Rounds of everything (or only some), by chance, for so long."""
    left = minutes * 60
    if not only and left > 2 * round_s:
        yield poisoned(round_s)
        left -= round_s
    while left > 0:
        seconds = min(left, round_s)
        yield Plan(seconds, of(database, only), once=False, deadly=deadly, good_limit=good_limit)
        left -= round_s
