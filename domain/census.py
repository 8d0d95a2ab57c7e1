"""The open jobs, counted over all tenants: what an operator asks of a store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from domain.clock import Millis
from domain.record import Record

Kind = Literal["durable", "ephemeral"]


@dataclass(frozen=True)
class WaitingHead(Record):
    """A head that waits for a free slot."""

    tenant: str
    session_id: str
    job_id: str
    rank: int
    ready_at: Millis


@dataclass(frozen=True)
class Census(Record):
    """How many open jobs one keeper has, and what they wait for. Counts made one after another need not add up."""

    running: int = 0
    #: Heads whose time has come: they wait for a slot.
    ready: int = 0
    #: Heads that wait for a time: `notBefore`, or a back-off.
    later: int = 0
    #: Behind another job of their session.
    behind: int = 0
    #: When the head that has waited longest for a slot became ready; None if none waits.
    oldest_ready: Millis | None = None
    #: The heads that have waited longest for a slot, in that order; a few of them.
    longest: tuple[WaitingHead, ...] = ()
    #: The store's time.
    now: Millis = 0

    @property
    def queued(self) -> int:
        """All that has not been started, or waits to be started again."""
        return self.ready + self.later + self.behind

    @property
    def oldest_ready_ms(self) -> Millis:
        """For how long the head that has waited longest for a slot has waited; 0 if none waits."""
        return 0 if self.oldest_ready is None else max(0, self.now - self.oldest_ready)
