"""A session: a conversation with an ID, and the counters that its queue is run by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from domain.clock import Millis
from domain.messages import Usage
from domain.record import Record

PRIORITIES = 10
"""Priorities are 0 to 9; 9 is the most urgent."""

NO_OPEN_JOBS: tuple[int, ...] = (0,) * PRIORITIES

OnFailure = Literal["continue", "stop"]
FailureRules: tuple[OnFailure, ...] = ("continue", "stop")


@dataclass(frozen=True)
class Session(Record):
    """One incarnation of a session. Its name is (tenant, id); after a delete the same name is a new incarnation."""

    tenant: str
    id: str
    #: Tells this session from earlier ones of the same name; part of every key of its jobs and messages.
    incarnation: int
    title: str
    directory: str
    created: Millis
    #: The last admission, finish or change.
    updated: Millis
    parent_id: str | None = None
    workspace_id: str | None = None
    agent: str | None = None
    #: `provider/model` that prompts use that name none.
    model: str | None = None
    variant: str | None = None
    metadata: Mapping[str, Any] | None = None
    permission: list[Any] | None = None
    archived: Millis | None = None
    #: Of an ephemeral session: how long it outlives its latest activity; None: as long as the server says.
    ttl_ms: Millis | None = None
    on_failure: OnFailure = "continue"
    #: Creation parameters as first given, by their API names; None until a `POST /session` gave some.
    created_with: Mapping[str, Any] | None = None
    #: The sequence number of the latest message; the next prompt gets one more.
    seq: int = 0
    #: How many open jobs it has of each priority, 0 first.
    open: tuple[int, ...] = NO_OPEN_JOBS
    usage: Usage = field(default_factory=Usage)
    #: US dollars.
    cost: float = 0.0

    @property
    def open_total(self) -> int:
        """The number of open jobs."""
        return sum(self.open)

    @property
    def urgency(self) -> int:
        """The highest priority among the open jobs: what its head ranks as. 0 if it has none."""
        for priority in range(PRIORITIES - 1, 0, -1):
            if self.open[priority]:
                return priority
        return 0

    def opened(self, priority: int, count: int) -> Session:
        """Count open jobs of a priority in (or, with a negative count, out)."""
        counts = list(self.open)
        counts[priority] += count
        return self.evolve(open=tuple(counts))


@dataclass(frozen=True)
class Creation(Record):
    """What a caller asked for with `POST /session` or a fork; or what a prompt to a missing session implies."""

    session_id: str
    #: Fields as given, by their API names. None: a prompt makes the session, and gave none.
    given: Mapping[str, Any] | None = None
    title: str | None = None
    directory: str = "/"
    parent_id: str | None = None
    workspace_id: str | None = None
    agent: str | None = None
    model: str | None = None
    variant: str | None = None
    metadata: Mapping[str, Any] | None = None
    permission: list[Any] | None = None
    on_failure: OnFailure = "continue"
    #: Of an ephemeral session: how long it outlives its latest activity; None: as long as the server says.
    ttl_ms: Millis | None = None
    if_exists: Literal["return", "error"] = "return"
