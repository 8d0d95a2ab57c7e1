"""Tells those who watch what this process has done to sessions, in a thread of its own: nobody waits for it."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Sequence

from domain import events
from domain.errors import SessionNotFound, StoreUnavailable
from domain.events import Bundle, Event
from domain.jobs import Job
from domain.prompts import Admission, Disposition
from domain.sessions import Session
from storage.base import Store
from storage.notices.publishing import Ask, Notices

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Changes that may wait to be told; what is told late is old news."""

Name = tuple[str, str]
Change = tuple[Name, Callable[[], Bundle | None]]
"""Which session has changed, and what makes the events of it, if anybody wants them."""


class Announcer:
    """Publishes the events of what the API commits. Safe to use from many threads."""

    def __init__(self, store: Store, notices: Notices) -> None:
        self._store = store
        self._notices = notices
        self._waiting: queue.SimpleQueue[Change | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="api-events", daemon=True)

    def start(self) -> None:
        """Begin to tell."""
        self._thread.start()

    def admitted(self, admission: Admission) -> None:
        """Tell of a prompt that was admitted."""
        if admission.disposition is Disposition.ADMITTED:
            session = admission.session
            self._put((session.tenant, session.id), lambda: events.of_admission(admission))

    def ended(self, jobs: Iterable[Job]) -> None:
        """Tell of jobs that have ended without a worker."""
        for job in jobs:
            self._put((job.tenant, job.session_id), lambda job=job: self._end(job))  # type: ignore[misc]

    def changed(self, session: Session, make: Callable[[Session], Event]) -> None:
        """Tell of a session that was made, changed or removed."""
        self._put((session.tenant, session.id), lambda: Bundle.of(session, [make(session)]))

    def close(self) -> None:
        """Tell what waits, and end."""
        self._waiting.put(None)
        self._thread.join(2)

    def _put(self, name: Name, make: Callable[[], Bundle | None]) -> None:
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put((name, make))

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
        def make(ask: Ask) -> list[Bundle]:
            watched = ask({name for name, _ in changes})
            bundles = ((name, of()) for name, of in changes if name in watched)
            return [bundle.evolve(is_kept=watched[name]) for name, bundle in bundles if bundle is not None]

        try:
            self._notices.tell((), {tenant for (tenant, _), _ in changes}, make)
        except Exception as error:  # noqa: BLE001 - what cannot be told must not end the telling of all that follows
            log.error("events_not_made", extra={"error": type(error).__name__})  # noqa: TRY400 - no content in logs

    def _end(self, job: Job) -> Bundle | None:
        try:
            session = self._store.session(job.tenant, job.session_id)
            answer = self._store.answer(job.tenant, job.session_id, job.incarnation, job.seq)
        except (SessionNotFound, StoreUnavailable):
            return None
        return events.of_end(session, job, answer) if session.incarnation == job.incarnation else None
