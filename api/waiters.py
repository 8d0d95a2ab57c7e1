"""Waiting for jobs to end: woken by notices, and by a look at the store now and then in case one was lost."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

from domain.errors import JobNotFound, PromptqError, StoreUnavailable
from domain.ids import is_ephemeral_job
from domain.jobs import Job
from storage.base import Store
from storage.notices import Notice

log = logging.getLogger(__name__)

T = TypeVar("T")
Name = tuple[str, str]
"""A tenant and a job ID."""

LOOK_S = 1.0
"""How often all waited-for jobs are read again; give or take a fifth, so that processes do not fall into step."""

MOST_AT_ONCE = 500
"""Jobs in one statement."""


MOST_HEARD = 4096
"""Ends that are remembered in case somebody is only just about to wait for one: some tenths of a second's worth."""


class Waiters:
    """All that wait in one process, on one event loop. They share one reading of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[Name, set[asyncio.Future[Job]]] = {}
        self._woken: set[Name] = set()
        #: The latest ends that were heard of and not waited for, oldest first.
        self._heard: dict[Name, None] = {}
        self._wake = asyncio.Event()
        self._blind = False
        self._jitter = random.Random()

    def hear(self, notice: Notice) -> None:
        """Take a hint that a job may have ended."""
        if notice.state.is_open:
            return
        name = (notice.tenant, notice.job_id)
        if name in self._waiting:
            self._look_at(name)
            return
        self._heard[name] = None
        if len(self._heard) > MOST_HEARD:
            del self._heard[next(iter(self._heard))]

    async def wait_for(self, tenant: str, job_id: str, timeout: float | None, *, seen_open: bool = False) -> Job:
        """Return a job once it is terminal, or as it is after `timeout` seconds.

        Args:
            tenant: whose job it is.
            job_id: which.
            timeout: seconds; None: for ever.
            seen_open: the caller has only just seen it open, so that it is not read before something is heard of it.

        Raises:
            JobNotFound: there is none.
            StoreUnavailable: the time is over and the store does not answer.
        """
        name = (tenant, job_id)
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(future)
        try:
            if not seen_open or name in self._heard:
                self._look_at(name)
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            return await asyncio.to_thread(self._store.job, tenant, job_id)
        finally:
            futures = self._waiting[name]
            futures.discard(future)
            if not futures:
                del self._waiting[name]

    async def run(self) -> None:
        """Look at the store for as long as the process lives. Trouble with it is waited out."""
        clock = asyncio.get_running_loop().time
        all_at = clock()
        while True:
            try:
                async with asyncio.timeout_at(all_at):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if clock() >= all_at:
                names = list(self._waiting)
                all_at = clock() + LOOK_S * self._jitter.uniform(0.8, 1.2)
            else:
                names = [name for name in self._woken if name in self._waiting]
            self._woken.clear()
            # Apart, so that those of one keeper end though the other does not answer.
            for kind in (False, True):
                of_kind = [name for name in names if is_ephemeral_job(name[1]) is kind]
                for start in range(0, len(of_kind), MOST_AT_ONCE):
                    await self._look(of_kind[start : start + MOST_AT_ONCE])

    def _look_at(self, name: Name) -> None:
        self._woken.add(name)
        self._wake.set()

    async def _look(self, names: list[Name]) -> None:
        try:
            jobs = await asyncio.to_thread(self._store.jobs_by_id, names)
        except StoreUnavailable:
            if not self._blind:
                log.warning("waiters_cannot_look")
            self._blind = True
            return
        except Exception as error:  # noqa: BLE001 - a look that fails must not end all later looks
            log.error("waiters_look_failed", extra={"error": type(error).__name__})  # noqa: TRY400 - no content in logs
            return
        self._blind = False
        for name in names:
            job = jobs.get(name[1])
            # The answer is by job ID alone, and another tenant may wait for the same one.
            if job is None or job.tenant != name[0]:
                self._end(name, JobNotFound(name[1]))
            elif not job.state.is_open:
                self._end(name, job)

    def _end(self, name: Name, outcome: Job | PromptqError) -> None:
        for future in self._waiting.get(name, ()):
            if future.done():
                continue
            if isinstance(outcome, Job):
                future.set_result(outcome)
            else:
                future.set_exception(outcome)


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


async def unless_gone(request: Request, waiting: Awaitable[T]) -> T:
    """Wait for as long as the client does. The request's body must have been read.

    Raises:
        ClientGoneError: it hung up.
    """
    result = asyncio.ensure_future(waiting)
    gone = asyncio.ensure_future(_hangs_up(request))
    try:
        await asyncio.wait((result, gone), return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientGoneError
        return result.result()
    finally:
        gone.cancel()
        result.cancel()


async def _hangs_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
