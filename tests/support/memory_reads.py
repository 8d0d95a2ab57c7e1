"""What the memory keeper answers without changing anything."""

import threading
from collections.abc import Collection

from domain import creation as creations
from domain import lifecycle
from domain.errors import JobNotFound, MessageNotFound, SessionNotFound
from domain.jobs import Job
from domain.messages import Message, Role, Turn
from domain.sessions import Session
from storage.base import Beat, Branch, JobQuery, SessionQuery
from tests.support.memory_tables import MemoryTables, place


class MemoryReads:
    """The reading half of the `storage.base.Store` protocol."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tables = MemoryTables()

    def session(self, tenant: str, session_id: str) -> Session:
        with self._lock:
            session = self._tables.sessions.get((tenant, session_id))
            if session is None:
                raise SessionNotFound(session_id)
            return session

    def sessions(self, tenant: str, query: SessionQuery) -> list[Session]:
        with self._lock:
            found = [
                session
                for session in self._tables.sessions.values()
                if session.tenant == tenant
                and (query.after is None or (session.updated, session.id) < query.after)
                and (query.since is None or session.updated >= query.since)
                and (query.search is None or query.search.lower() in session.title.lower())
                and (not query.roots or session.parent_id is None)
                and (query.parent_id is None or session.parent_id == query.parent_id)
            ]
            return sorted(found, key=lambda session: (session.updated, session.id), reverse=True)[: query.limit]

    def busy_sessions(self, tenant: str) -> dict[str, Job]:
        with self._lock:
            mine = [session for session in self._tables.sessions.values() if session.tenant == tenant]
            return {session.id: head for session in mine if (head := self._tables.head(session)) is not None}

    def branch(self, tenant: str, source_id: str, *, before: str | None) -> Branch:
        with self._lock:
            source = self.session(tenant, source_id)
            rows = self._tables.messages_of(source)
            if before is not None:
                end = self._tables.message(source, before)
                if end is None:
                    raise MessageNotFound(before)
                rows = [row for row in rows if row.seq < end.seq]
            return Branch(source, creations.committed_turns(rows))

    def message(self, tenant: str, session_id: str, message_id: str) -> Message:
        with self._lock:
            message = self._tables.message(self.session(tenant, session_id), message_id)
            if message is None:
                raise MessageNotFound(message_id)
            return message

    def messages(
        self, tenant: str, session_id: str, *, limit: int | None = None, before: tuple[int, str] | None = None
    ) -> list[Message]:
        with self._lock:
            rows = self._tables.messages_of(self.session(tenant, session_id))
            if before is not None:
                end = (before[0], before[1] == Role.ASSISTANT)
                rows = [row for row in rows if place(row) < end]
            return rows if limit is None else rows[max(0, len(rows) - limit) :]

    def answer(self, tenant: str, session_id: str, incarnation: int, seq: int) -> Message | None:
        with self._lock:
            return self._tables.messages.get((tenant, session_id, incarnation), {}).get((seq, True))

    def history(self, job: Job) -> list[Turn]:
        with self._lock:
            session = self._tables.session_of(job)
            rows = [] if session is None else self._tables.messages_of(session)
            return creations.committed_turns(row for row in rows if row.seq < job.seq)

    def job(self, tenant: str, job_id: str) -> Job:
        with self._lock:
            job = self._tables.jobs.get((tenant, job_id))
            if job is None:
                raise JobNotFound(job_id)
            return job

    def jobs(self, tenant: str, query: JobQuery) -> list[Job]:
        with self._lock:
            found = [
                job
                for job in self._tables.jobs.values()
                if job.tenant == tenant
                and (query.after is None or (job.created, job.id) < query.after)
                and (not query.states or job.state in query.states)
                and (query.session_id is None or job.session_id == query.session_id)
                and (query.batch_id is None or job.batch_id == query.batch_id)
            ]
            return sorted(found, key=lambda job: (job.created, job.id), reverse=True)[: query.limit]

    def jobs_by_id(self, names: Collection[tuple[str, str]]) -> dict[str, Job]:
        with self._lock:
            return {name[1]: self._tables.jobs[name] for name in names if name in self._tables.jobs}

    def head(self, job: Job) -> Job | None:
        with self._lock:
            session = self._tables.session_of(job)
            return None if session is None else self._tables.head(session)

    def look(self, worker: str, held: Collection[tuple[str, str, int]]) -> Beat:
        with self._lock:
            lost: set[str] = set()
            cancelled: set[str] = set()
            for tenant, job_id, attempt in held:
                job = self._tables.jobs.get((tenant, job_id))
                if job is None or not lifecycle.holds(job, attempt) or job.worker != worker:
                    lost.add(job_id)
                elif job.cancel_requested is not None:
                    cancelled.add(job_id)
            return Beat(frozenset(lost), frozenset(cancelled))
