"""What the routes of one process work with, and what is told to others after a commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis

from api.waiters import Waiters
from domain.jobs import Job
from domain.prompts import Admission, Disposition
from domain.requests.prompts import Terms
from storage.base import Store
from storage.notices import Notices


class Bell(Protocol):
    """Tells workers that there is work; see `tasks.doorbell`."""

    def ring(self) -> None:
        """Ring, best effort; returns at once and never raises."""

    def close(self) -> None:
        """Let go of what it holds."""


@dataclass(frozen=True)
class Means:
    """Made once by each process, when it starts."""

    store: Store
    bell: Bell
    notices: Notices
    waiters: Waiters
    terms: Terms
    #: To ask whether Redis is there; None where there is none.
    redis: Redis | None

    def admitted(self, admission: Admission) -> None:
        """Tell others of an admission that is committed: those that wait for what it ended, and workers."""
        self.ended(admission.ended)
        if admission.disposition is Disposition.ADMITTED and admission.job is not None:
            self.bell.ring()

    def ended(self, jobs: Sequence[Job]) -> None:
        """Tell others of jobs whose end is committed: their sessions may have new heads."""
        if jobs:
            self.notices.publish(jobs)
            self.bell.ring()
