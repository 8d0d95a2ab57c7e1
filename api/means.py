"""What the routes of one process work with, and what is told to others after a commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

from redis.asyncio import Redis

from api.operations.operations import Operations
from api.streams.announcing import Announcer
from api.streams.hub import Hub
from api.streams.joining import Joining
from api.waiters import Waiters
from domain.jobs import Job
from domain.prompts import Admission, Disposition
from domain.requests.prompts import Terms
from storage.base import Store
from storage.batches import Batches
from storage.notices import Notices

P = ParamSpec("P")
T = TypeVar("T")


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
    announcer: Announcer
    hub: Hub
    joining: Joining
    terms: Terms
    #: Threads in which `async` routes ask the store. (The others run in Starlette's, whose hop costs twice as much.)
    threads: Executor
    #: To ask whether Redis is there; None where there is none.
    redis: Redis | None
    operations: Operations
    #: Files and batches; None where they are not kept.
    batches: Batches | None = None
    #: Bytes of one uploaded file.
    file_limit: int = 0

    async def aside(self, ask: Callable[P, T], *arguments: P.args, **_: P.kwargs) -> T:
        """Ask the store in a thread; positional arguments only."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, ask, *arguments)

    def admitted(self, admission: Admission) -> None:
        """Tell others of an admission that is committed: those that wait for what it ended, and workers."""
        self.operations.figures.admitted(admission)
        self.ended(admission.ended)
        self.announcer.admitted(admission)
        if admission.disposition is Disposition.ADMITTED and admission.job is not None:
            self.bell.ring()

    def ended(self, jobs: Sequence[Job]) -> None:
        """Tell others of jobs whose end is committed: their sessions may have new heads."""
        if jobs:
            self.operations.figures.ended(jobs)
            self.announcer.ended(jobs)
            self.notices.publish(jobs)
            self.bell.ring()
