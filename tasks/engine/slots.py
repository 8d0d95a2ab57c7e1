"""The attempts that this worker holds: the one place where the engine's threads meet.

An attempt takes a slot when it is claimed and leaves it when the store has taken its end (or nobody wants it any more).
In between it *ends* once: as its task does, or when it is given up because it was told to stop and did not.
"""

from __future__ import annotations

import threading
import time
from asyncio import Task
from collections.abc import Collection, Iterable
from enum import Enum

from domain.clock import Millis
from domain.jobs import AttemptEnd, Claimed, Finished, Job
from domain.lifecycle import SUSPECT_WINDOW_MS
from executors.folding import Folding

PATIENCE_S = 5.0
"""How long an executor may take to let go when it is told to stop."""

_WINDOW_S = SUSPECT_WINDOW_MS / 1000 + 0.05
"""A suspect's window as this worker's clock counts it, a little longer than the store's."""


class Stop(Enum):
    """Why an attempt was told to stop."""

    #: Somebody asked to cancel the job.
    CANCELLED = "cancelled"
    #: It ran longer than the job's timeout.
    TIMED_OUT = "timed_out"
    #: Its lease is lost; what it leaves is of no use.
    LOST = "lost"
    #: This worker shuts down.
    RETURNED = "returned"


class Attempt:
    """One attempt that this worker holds. Fields are written by the thread that is named with them."""

    __slots__ = (
        "began",
        "claimed",
        "end",
        "ended",
        "entered",
        "folding",
        "is_proven",
        "job",
        "key",
        "stop",
        "stop_by",
        "substituted",
        "task",
    )

    def __init__(self, claimed: Claimed, patience_s: float = PATIENCE_S) -> None:
        """Take a claimed job; `patience_s` is how long its executor may take to let go."""
        job = claimed.job
        self.claimed = claimed
        self.job: Job = job
        self.key = (job.tenant, job.id, job.attempt)
        #: By `time.monotonic`, as are all times here.
        self.began = time.monotonic()
        self.folding = Folding(self.now)
        #: Written by the event loop.
        self.task: Task[None] | None = None
        #: Whether its task has begun to run. Written by the event loop.
        self.entered = False
        #: Why it was told to stop, and when it is given up if it does not. Written by the event loop.
        self.stop: Stop | None = None
        self.stop_by = self.began + job.timeout_ms / 1000 + patience_s
        #: Written under the lock of `Slots`, once.
        self.end: AttemptEnd | None = None
        self.ended: float | None = None
        #: Of a suspect: whether its lease was renewed after its first two seconds. Written by the lease keeper.
        self.is_proven = False
        #: Whether the store refused its end and got a bare one instead. Written by the exchanging thread.
        self.substituted = False

    def now(self) -> Millis:
        """Return the store's time, reckoned from the claim: this machine's clock may be wrong."""
        return (self.job.attempt_started or 0) + int((time.monotonic() - self.began) * 1000)

    @property
    def runtime_s(self) -> float:
        """How long it took, or has taken so far."""
        return (self.ended if self.ended is not None else time.monotonic()) - self.began

    def is_renewable(self, now: float) -> bool:
        """Tell whether its lease is to be kept: until the store has its end, or it should long have stopped."""
        return self.stop is not Stop.LOST and (self.ended is not None or now < self.stop_by)

    @property
    def is_unproven(self) -> bool:
        """Whether it is a suspect that has not been seen to get past its first two seconds."""
        return self.job.is_suspect and self.ended is None and not self.is_proven

    @property
    def watched_until(self) -> float:
        """When a suspect's first two seconds are over."""
        return self.began + _WINDOW_S

    def names(self) -> dict[str, str | int]:
        """Name it, for logs."""
        return {"job": self.job.id, "session": self.job.session_id, "attempt": self.job.attempt}

    def finished(self) -> Finished:
        """Address its end to the store."""
        if self.end is None:
            raise ValueError("the attempt has not ended")
        job = self.job
        return Finished(job.tenant, job.session_id, job.incarnation, job.id, job.attempt, self.end)


class Slots:
    """What is held and what has ended. Safe to use from many threads."""

    def __init__(self, capacity: int, patience_s: float = PATIENCE_S) -> None:
        self._capacity = capacity
        self.patience_s = patience_s
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str, int], Attempt] = {}
        self._ended: list[Attempt] = []

    def __len__(self) -> int:
        return len(self._held)

    def all(self) -> list[Attempt]:
        """Return all that is held, the ended ones too."""
        with self._lock:
            return list(self._held.values())

    def add(self, attempts: Iterable[Attempt]) -> None:
        """Take new attempts in."""
        with self._lock:
            for attempt in attempts:
                self._held[attempt.key] = attempt

    def end(self, attempt: Attempt, end: AttemptEnd | None) -> bool:
        """Note how an attempt ended; None: nobody wants its end, and its slot is free at once.

        Returns whether this was the first end; a later one is thrown away.
        """
        with self._lock:
            if attempt.ended is not None:
                return False
            attempt.ended = time.monotonic()
            attempt.end = end
            if end is None:
                self._held.pop(attempt.key, None)
            else:
                self._ended.append(attempt)
        return True

    def take(self, most: int) -> list[Attempt]:
        """Take what has ended, in the order that it did; if that is more, the most urgent first.

        They keep their slots until they are released.
        """
        with self._lock:
            if len(self._ended) > most:
                self._ended.sort(key=lambda attempt: -attempt.job.rank)
            ended, self._ended = self._ended[:most], self._ended[most:]
        return ended

    def put_back(self, ended: list[Attempt]) -> None:
        """Undo `take`: the store could not take them."""
        with self._lock:
            self._ended[:0] = ended

    def release(self, attempts: Collection[Attempt]) -> None:
        """Free the slots of attempts that the store has taken, or thrown away."""
        with self._lock:
            for attempt in attempts:
                self._held.pop(attempt.key, None)

    def free(self, taken: int) -> int:
        """Return how many slots are free, counting those of `taken` ended attempts that are being handed in."""
        return max(0, self._capacity - len(self._held) + taken)

    def is_watching(self) -> bool:
        """Tell whether a suspect is in its first two seconds here."""
        return any(attempt.is_unproven for attempt in self.all())
