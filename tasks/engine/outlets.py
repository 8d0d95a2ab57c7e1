"""Tells the world what has been committed, after the commit and best effort.

Each audience (who waits for a job, who watches Flower) has a thread of its own, so that one that is slow or away holds
up neither the other nor the engine. What is told late is old news: beyond a limit it is thrown away.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.events import Event
from domain.jobs import Job
from domain.prompts import Admission
from domain.record import Record
from storage.failpoints import failpoint
from tasks.engine.slots import Attempt
from tasks.engine.threads import EngineThread

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Commits that may wait for an audience."""


@dataclass(frozen=True)
class Mended(Record):
    """What a round of reconcile did that is about no single job that is told."""

    #: Heads that had no stamp.
    stamped: int = 0
    #: Records of ended jobs that were removed.
    pruned: int = 0


@dataclass(frozen=True)
class Commit(Record):
    """What one commit changed."""

    #: Jobs whose next attempt has begun.
    claimed: Sequence[Job] = ()
    #: Jobs whose attempt has ended, as they are now, with the attempt's number and how long it took in seconds.
    taken: Sequence[tuple[Job, int, float]] = ()
    #: Jobs that ended without a worker: cancelled behind others, or expired.
    ended: Sequence[Job] = ()
    #: Jobs whose worker was lost, before and after.
    lost: Sequence[tuple[Job, Job]] = ()
    #: How many ends were thrown away, because their attempts had lost their leases.
    fenced: int = 0
    #: Of a round of reconcile, whose `ended` and `lost` these are; else None.
    mended: Mended | None = None
    #: Prompts that were taken here, by the Celery task, and not by an API.
    admitted: Sequence[Admission] = ()
    #: The attempts that began, and those whose ends were handed in, as their engine holds them.
    began: Sequence[Attempt] = ()
    over: Sequence[Attempt] = ()
    #: What the answers of attempts have grown by meanwhile: no commit did that.
    grown: Sequence[tuple[Attempt, list[Event]]] = ()


Audience = Callable[[Sequence[Commit]], None]
"""Is told of all commits since it was told last. It must not raise."""


class Outlet:
    """One audience, and the commits that wait for it."""

    def __init__(self, name: str, tell: Audience, failed: Callable[[], None]) -> None:
        """Make one; `failed` is called should `tell` raise."""
        self._name = name
        self._tell = tell
        self._waiting: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._thread = EngineThread(name, self._run, failed)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def put(self, commit: Commit) -> None:
        """Have a commit told, soon. Never waits."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(commit)

    def stop(self, timeout_s: float) -> None:
        """Tell what waits, and end; what takes longer is not told."""
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            commits = [self._waiting.get()]
            while not self._waiting.empty():
                commits.append(self._waiting.get())
            told = [commit for commit in commits if commit is not None]
            if told:
                failpoint(f"engine.before_{self._name}")
                self._tell(told)
                failpoint(f"engine.after_{self._name}")
            if len(told) < len(commits):
                return


def terminal_jobs(commits: Sequence[Commit]) -> list[Job]:
    """Pick the jobs that have ended: what those who wait want to hear."""
    jobs: list[Job] = []
    for commit in commits:
        jobs.extend(job for job, _, _ in commit.taken if not job.state.is_open)
        jobs.extend(commit.ended)
        jobs.extend(after for _, after in commit.lost if not after.state.is_open)
    return jobs
