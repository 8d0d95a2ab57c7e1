"""Looks at the store now and then, and tells those who watch what nobody has told them.

A publish may be lost, Redis may be away, a worker may die between its commit and what it tells: ends come nevertheless,
because they come from what is kept. One look serves all clients of a process.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from api.streams.hub import Following, Hub
from domain import events
from domain.errors import SessionNotFound, StoreUnavailable
from domain.events import Bundle
from domain.ids import is_ephemeral, is_ephemeral_job
from domain.messages import Message, Role
from domain.sessions import Session
from storage.base import Store
from storage.notices.wire import heard

log = logging.getLogger(__name__)

JOBS_S = 2.0
"""Between two looks at the jobs whose ends are waited for, give or take a fifth; half of it while Redis is away."""

SESSIONS_S = 5.0
"""Between two looks at the sessions that are followed; a fifth of it while Redis is away."""

MOST_AT_ONCE = 500
"""Jobs in one statement."""

SESSIONS_AT_ONCE = 50
"""Sessions that are read without letting others have the thread."""

MOST_MESSAGES = 200
"""Messages that one look at a session reads at most, the latest."""


class Lookout:
    """The looks of one process."""

    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._jitter = random.Random()
        self._blind = False

    async def run(self) -> None:
        """Look for as long as the process lives. Trouble with the store is waited out."""
        clock = asyncio.get_running_loop().time
        sessions_at = clock() + SESSIONS_S
        while True:
            heard_of = self._hub.listening.is_set()
            await asyncio.sleep(JOBS_S * self._jitter.uniform(0.8, 1.2) * (1 if heard_of else 0.5))
            try:
                await self._look_at_jobs()
                if clock() >= sessions_at or not self._hub.listening.is_set():
                    await self._look_at_sessions()
                    sessions_at = clock() + SESSIONS_S * self._jitter.uniform(0.8, 1.2)
            except Exception as error:  # noqa: BLE001 - a look that fails must not end all later looks
                log.error("lookout_failed", extra={"error": type(error).__name__})  # noqa: TRY400 - no content in logs

    async def _look_at_jobs(self) -> None:
        names = self._hub.open_jobs()
        # Apart, so that those of one keeper end though the other does not answer.
        for kind in (False, True):
            of_kind = [name for name in names if is_ephemeral_job(name[1]) is kind]
            for start in range(0, len(of_kind), MOST_AT_ONCE):
                await self._look_at_some_jobs(of_kind[start : start + MOST_AT_ONCE])

    async def _look_at_some_jobs(self, names: Sequence[tuple[str, str]]) -> None:
        try:
            jobs = await asyncio.to_thread(self._store.jobs_by_id, names)
        except StoreUnavailable:
            self._note(blind=True)
            return
        self._note(blind=False)
        for tenant, job_id in names:
            job = jobs.get(job_id)
            if job is None:
                self._hub.forget(tenant, job_id)
            elif not job.state.is_open:
                await self._hub.tell_end(job)

    async def _look_at_sessions(self) -> None:
        everything = self._hub.followed()
        for kind in (False, True):
            followed = [each for each in everything if is_ephemeral(each.session.id) is kind]
            for start in range(0, len(followed), SESSIONS_AT_ONCE):
                some = [(each, each.session) for each in followed[start : start + SESSIONS_AT_ONCE]]
                try:
                    found = await asyncio.to_thread(self._read, [session for _, session in some])
                except StoreUnavailable:
                    self._note(blind=True)
                    break
                for (following, _), (session, messages) in zip(some, found, strict=True):
                    self._compare(following, session, messages)

    def _read(self, known: Sequence[Session]) -> list[tuple[Session | None, list[Message]]]:
        """Read sessions, each with the messages that are new in it."""
        found: list[tuple[Session | None, list[Message]]] = []
        for before in known:
            try:
                now = self._store.session(before.tenant, before.id)
                more = now.seq - before.seq if now.incarnation == before.incarnation else 0
                limit = min(2 * more + 1, MOST_MESSAGES)
                messages = self._store.messages(before.tenant, before.id, limit=limit) if more else []
            except SessionNotFound:
                found.append((None, []))
            else:
                found.append((now if now.incarnation == before.incarnation else None, messages))
        return found

    def _compare(self, following: Following, session: Session | None, messages: Sequence[Message]) -> None:
        """Tell what is in the store and was not told."""
        before = following.session
        if session is None:
            self._give(events.of_deletion(before))
            return
        for message in messages:
            if before.seq < message.seq and message.role is Role.USER:
                if message.seq not in following.told:
                    self._give(events.of_prompt(session, message))
                if message.job_id is not None:
                    self._hub.expect(message.tenant, message.session_id, message.job_id)
        if session.updated > following.as_of:
            self._give(events.of_change(session))
        following.session = session
        following.told = {seq for seq in following.told if seq > session.seq}

    def _give(self, bundle: Bundle) -> None:
        self._hub.give(heard(bundle))

    def _note(self, *, blind: bool) -> None:
        if blind and not self._blind:
            log.warning("lookout_cannot_look")
        self._blind = blind
