"""How the memory keeper counts its open jobs."""

from collections.abc import Collection

from domain.census import Census, WaitingHead
from domain.clock import Millis
from domain.jobs import Job, State

MOST_NAMED = 5


def counted(jobs: Collection[Job], now: Millis) -> Census:
    """Count the open jobs among these."""
    open_jobs = [job for job in jobs if job.state.is_open]
    running = [job for job in open_jobs if job.state is State.RUNNING]
    heads = [
        WaitingHead(job.tenant, job.session_id, job.id, job.rank, job.ready_at)
        for job in open_jobs
        if job.state is State.QUEUED and job.ready_at is not None
    ]
    ready = sorted((head for head in heads if head.ready_at <= now), key=lambda head: head.ready_at)
    return Census(
        running=len(running),
        ready=len(ready),
        later=len(heads) - len(ready),
        behind=len(open_jobs) - len(running) - len(heads),
        oldest_ready=ready[0].ready_at if ready else None,
        longest=tuple(ready[:MOST_NAMED]),
        now=now,
    )
