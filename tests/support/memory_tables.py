"""What the memory keeper keeps, in plain dictionaries, and the look-ups that its commands need."""

from collections.abc import Iterator

from domain import lifecycle
from domain.clock import Millis
from domain.jobs import Job
from domain.messages import Message, Role
from domain.sessions import Session


def place(message: Message) -> tuple[int, bool]:
    """Where a message stands in its session: by its prompt's sequence, user first."""
    return message.seq, message.role is Role.ASSISTANT


class MemoryTables:
    """Sessions, messages and jobs by their names; a session's messages belong to its incarnation."""

    def __init__(self) -> None:
        self.sessions: dict[tuple[str, str], Session] = {}
        self.messages: dict[tuple[str, str, int], dict[tuple[int, bool], Message]] = {}
        self.jobs: dict[tuple[str, str], Job] = {}
        #: Which sessions come first among heads that are equally urgent and equally old: nobody promises an order.
        self.favoured: list[tuple[str, str]] = []

    def write(self, change: lifecycle.Change) -> None:
        """Keep all of a change."""
        self.sessions[change.session.tenant, change.session.id] = change.session
        for job in change.jobs:
            self.jobs[job.tenant, job.id] = job
        for message in change.messages:
            self.rows(message)[place(message)] = message

    def rows(self, of: Message | Job) -> dict[tuple[int, bool], Message]:
        """The messages of a message's or job's session, by place."""
        return self.messages.setdefault((of.tenant, of.session_id, of.incarnation), {})

    def session_of(self, job: Job) -> Session | None:
        """The session of a job, if it still is the incarnation that the job was admitted to."""
        session = self.sessions.get((job.tenant, job.session_id))
        return session if session is not None and session.incarnation == job.incarnation else None

    def messages_of(self, session: Session) -> list[Message]:
        """All messages of a session, in order."""
        rows = self.messages.get((session.tenant, session.id, session.incarnation), {})
        return [rows[key] for key in sorted(rows)]

    def message(self, session: Session, message_id: str) -> Message | None:
        """A session's message of this ID."""
        return next((row for row in self.messages_of(session) if row.id == message_id), None)

    def open_jobs(self, session: Session, *, after: int = 0) -> list[Job]:
        """A session's open jobs whose sequence number is higher than `after`, in order."""
        mine = (session.tenant, session.id, session.incarnation)
        jobs = [
            job
            for job in self.jobs.values()
            if (job.tenant, job.session_id, job.incarnation) == mine and job.state.is_open and job.seq > after
        ]
        return sorted(jobs, key=lambda job: job.seq)

    def head(self, session: Session) -> Job | None:
        """A session's head."""
        return next(iter(self.open_jobs(session)), None)

    def ready_heads(self, now: Millis) -> list[Job]:
        """All heads whose time has come, in the order of claims: by rank, then by time."""
        heads = (job for job in self.queued_heads() if job.ready_at is not None and job.ready_at <= now)

        def turn(job: Job) -> tuple[int, Millis, int]:
            name = job.tenant, job.session_id
            favour = self.favoured.index(name) if name in self.favoured else len(self.favoured)
            return -job.rank, job.ready_at or 0, favour

        return sorted(heads, key=turn)

    def queued_heads(self) -> Iterator[Job]:
        """All heads that no worker has."""
        for session in self.sessions.values():
            head = self.head(session)
            if head is not None and head.state.value == "queued":
                yield head
