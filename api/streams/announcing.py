"""Tells those who watch what this process has done to sessions, in a thread of its own: nobody waits for it."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from api.streams.hub import Hub
from domain import events
from domain.errors import StoreUnavailable
from domain.events import Bundle
from domain.ids import is_hidden
from domain.jobs import Job
from domain.prompts import Admission, Disposition
from domain.record import Record
from domain.sessions import Session
from storage.base import Store
from storage.notices import truth
from storage.notices.publishing import Ask, Notices, Watched

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Changes that may wait to be told; what is told late is old news."""


QUIET_S = 0.02
"""For so long a tenant that nobody watches is not asked about again: Redis would be asked at each of thousands of
prompts a second. Who begins to watch by another process in that time is told of the prompt when an attempt begins."""


@dataclass(frozen=True)
class Change(Record):
    """Something that was committed to a session."""

    tenant: str
    session_id: str
    #: Makes the events of it, if anybody wants them.
    make: Callable[[], Bundle | None]
    #: The incarnation that it was the end of.
    gone: int | None = None


class Announcer:
    """Publishes the events of what the API commits. Safe to use from many threads."""

    def __init__(self, store: Store, notices: Notices, hub: Hub) -> None:
        """Make one; what Redis cannot have goes to the clients of this process, by the hub."""
        self._store = store
        self._notices = notices
        self._hub = hub
        self._waiting: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        #: Until when a tenant counts as watched by nobody elsewhere, by `time.monotonic`.
        self._quiet_until: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="api-events", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def admitted(self, admission: Admission) -> None:
        """Tell of a prompt that was admitted."""
        if admission.disposition is Disposition.ADMITTED:
            of = admission.session
            self._put(Change(of.tenant, of.id, lambda: events.of_admission(admission)))

    def ended(self, jobs: Sequence[Job]) -> None:
        """Tell of jobs that have ended without a worker."""
        last = {(job.tenant, job.session_id): job.id for job in jobs}
        for job in jobs:
            more = last[job.tenant, job.session_id] != job.id
            self._put(Change(job.tenant, job.session_id, partial(truth.end_of, self._store, job, more=more)))

    def created(self, session: Session) -> None:
        """Tell of a session that was made."""
        self._put(Change(session.tenant, session.id, lambda: Bundle.of(session, [events.session_created(session)])))

    def changed(self, session: Session) -> None:
        """Tell of a session that somebody changed."""
        self._put(Change(session.tenant, session.id, lambda: events.of_change(session)))

    def deleted(self, session: Session) -> None:
        """Tell of a session that is gone, and let its history go."""
        self._put(Change(session.tenant, session.id, lambda: events.of_deletion(session), gone=session.incarnation))

    def close(self) -> None:
        """Tell what waits, and end."""
        self._waiting.put(None)
        self._thread.join(2)

    def _put(self, change: Change) -> None:
        is_quiet = time.monotonic() < self._quiet_until.get(change.tenant, 0.0)
        if (not is_quiet or self._hub.wants(change.tenant)) and self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(change)

    def _run(self) -> None:
        while True:
            found = [self._waiting.get()]
            while not self._waiting.empty():
                found.append(self._waiting.get())
            changes = [change for change in found if change is not None]
            if changes:
                self._tell(changes)
            if len(changes) < len(found):
                return

    def _tell(self, changes: Sequence[Change]) -> None:
        tenants = {change.tenant for change in changes}
        watched = False

        def make(ask: Ask) -> list[Bundle]:
            nonlocal watched
            watched = True
            return self._bundles(changes, ask({(change.tenant, change.session_id) for change in changes}))

        try:
            if self._notices.tell((), tenants, make):
                if not watched:
                    self._quiet_until.update(dict.fromkeys(tenants, time.monotonic() + QUIET_S))
            else:
                here = [
                    change for change in changes if self._hub.wants(change.tenant) and not is_hidden(change.session_id)
                ]
                self._hub.take(self._bundles(here, {(change.tenant, change.session_id): False for change in here}))
            for change in changes:
                if change.gone is not None:
                    self._notices.forget(change.tenant, change.session_id, change.gone)
        except Exception as error:  # noqa: BLE001 - what cannot be told must not end the telling of all that follows
            log.error("events_not_made", extra={"error": type(error).__name__})  # noqa: TRY400 - no content in logs

    def _bundles(self, changes: Sequence[Change], watched: Watched) -> list[Bundle]:
        bundles: list[Bundle] = []
        for change in changes:
            name = (change.tenant, change.session_id)
            # What is missing because the store does not answer is told when it does, by who looks at it then.
            with contextlib.suppress(StoreUnavailable):
                bundle = change.make() if name in watched else None
                if bundle is not None:
                    bundles.append(bundle.evolve(is_kept=watched[name] and change.gone is None))
        return bundles
