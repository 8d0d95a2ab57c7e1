"""How the fleet is, in one answer: who works, what waits and for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from typing_extensions import TypedDict

from api.operations.operations import Operations
from domain.census import Census, Kind
from domain.clock import Millis, system_clock
from domain.shapes import VERSION
from storage.reports import Heard

MOST_NAMED = 5
"""Jobs that are named one by one."""


class Minute(TypedDict):
    """What workers did in the last minute."""

    started: int
    succeeded: int
    unsuccessful: int


class WorkerStatus(TypedDict):
    """A worker. Durations are in seconds."""

    name: str
    state: Literal["running", "draining", "ended"]
    #: How many prompts it runs at once, and how many of these places are taken.
    slots: int
    used: int
    up: float
    #: How long ago it reported.
    seen: float
    minute: Minute


class Slots(TypedDict):
    """Those of all workers that claim."""

    used: int
    total: int


class WaitingFor(TypedDict):
    """Queued jobs by what they wait for: a free slot, a time, or an earlier job of their session."""

    worker: int
    time: int
    session: int


class JobsStatus(TypedDict):
    """The open jobs of one kind of session."""

    queued: int
    running: int
    waiting: WaitingFor
    #: For how many seconds the one that has waited longest for a slot, and for nothing else, has waited.
    oldestReady: float


class LongestWaiting(TypedDict):
    """A job that waits for a slot."""

    jobID: str
    sessionID: str
    tenant: str
    priority: int
    readyFor: float


class StatusShape(TypedDict):
    """The whole fleet, over all tenants; no content."""

    version: str
    #: Epoch milliseconds.
    time: Millis
    #: What does not answer: `store`, `redis`. Without Redis no worker is known.
    degraded: list[str]
    workers: list[WorkerStatus]
    slots: Slots
    jobs: dict[str, JobsStatus]
    #: How old the counts of jobs are, in seconds.
    jobsAge: float
    minute: Minute
    longest: list[LongestWaiting]
    #: Event streams that are open at the API that answers.
    streams: int


def status_of(operations: Operations) -> StatusShape:
    """Ask, and put together."""
    taken = operations.census.take()
    heard = operations.fleet.workers()
    workers = [_worker(each) for each in heard or ()]
    claiming = [worker for worker in workers if worker["state"] == "running"]
    return {
        "version": VERSION,
        "time": system_clock(),
        "degraded": [*([] if taken.is_up else ["store"]), *([] if heard is not None else ["redis"])],
        "workers": workers,
        "slots": {
            "used": sum(worker["used"] for worker in workers),
            "total": sum(worker["slots"] for worker in claiming),
        },
        "jobs": {kind: _jobs(census) for kind, census in taken.counts.items()},
        "jobsAge": round(taken.age_s, 3),
        "minute": _sum([worker["minute"] for worker in workers]),
        "longest": _longest(taken.counts),
        "streams": operations.streams(),
    }


def _worker(heard: Heard) -> WorkerStatus:
    report = heard.report
    state: Literal["running", "draining", "ended"] = "running"
    if report.ended:
        state = "ended"
    elif report.draining:
        state = "draining"
    return {
        "name": report.name,
        "state": state,
        "slots": report.slots,
        "used": report.used,
        "up": report.up_s,
        "seen": heard.age_ms / 1000,
        "minute": {
            "started": report.minute.get("started", 0),
            "succeeded": report.minute.get("succeeded", 0),
            "unsuccessful": report.minute.get("unsuccessful", 0),
        },
    }


def _jobs(census: Census) -> JobsStatus:
    return {
        "queued": census.queued,
        "running": census.running,
        "waiting": {"worker": census.ready, "time": census.later, "session": census.behind},
        "oldestReady": census.oldest_ready_ms / 1000,
    }


def _sum(minutes: Sequence[Minute]) -> Minute:
    return {
        "started": sum(minute["started"] for minute in minutes),
        "succeeded": sum(minute["succeeded"] for minute in minutes),
        "unsuccessful": sum(minute["unsuccessful"] for minute in minutes),
    }


def _longest(counts: Mapping[Kind, Census]) -> list[LongestWaiting]:
    waiting = [(census.now - head.ready_at, head) for census in counts.values() for head in census.longest]
    waiting.sort(key=lambda each: each[0], reverse=True)
    return [
        {
            "jobID": head.job_id,
            "sessionID": head.session_id,
            "tenant": head.tenant,
            "priority": head.rank,
            "readyFor": max(0, waited) / 1000,
        }
        for waited, head in waiting[:MOST_NAMED]
    ]
