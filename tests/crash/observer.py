"""What the store holds: looked at again and again during a run, and read whole at its end, past promptq's own calls."""

import contextlib
import sqlite3
import threading
from collections.abc import Sequence
from typing import Self

import sqlalchemy as sa

from domain.clock import system_clock
from domain.jobs import Job as KeptJob
from domain.messages import Role
from storage.sql.rows import JOB_COLUMNS, MESSAGE_COLUMNS, job_of, message_of
from storage.sql.schema import job, message
from tests.crash.executor import text_of
from tests.support.history import Answer, Attempt, Job, Look, Prompt, Seen
from tests.support.waiting import eventually

PAUSE_S = 0.05

_look = sa.select(job.c.id, job.c.session_id, job.c.state, job.c.attempt, job.c.worker, job.c.lease_until)
_open = sa.select(sa.func.count()).where(job.c.state.in_(["queued", "running"]))


class Observer:
    """Looks at a database from the side. A context manager: it looks on for as long as it is open."""

    def __init__(self, url: str) -> None:
        self.looks: list[Look] = []
        self._engine = sa.create_engine(url)
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()
        self._engine.dispose()

    def open_jobs(self) -> int:
        """Count the jobs that have not ended."""
        with self._engine.connect() as connection:
            return int(connection.execute(_open).scalar_one())

    def until_all_have_ended(self, timeout: float) -> bool:
        """Wait until no job is open. Says whether that came to be: whether it had to is the checker's to say."""
        try:
            return eventually(lambda: not self.open_jobs(), timeout, what="no job is open")
        except AssertionError:
            return False

    def is_writable(self) -> bool:
        """Whether nobody holds SQLite's one lock for writing for long. Postgres has no such lock."""
        if self._engine.dialect.name != "sqlite":
            return True
        with contextlib.closing(sqlite3.connect(str(self._engine.url.database), timeout=1)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True

    def jobs(self) -> Sequence[KeptJob]:
        """Read all jobs."""
        with self._engine.connect() as connection:
            return [job_of(row) for row in connection.execute(sa.select(*JOB_COLUMNS))]

    def kept(self) -> tuple[list[Job], list[Prompt], list[Answer]]:
        """Read all that is kept. Forked turns have no jobs, and are left out."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(*MESSAGE_COLUMNS).where(message.c.job_id.is_not(None)))
            messages = [message_of(row) for row in rows]
        prompts, answers = [], []
        for each in messages:
            text = text_of(each.parts)
            if each.role is Role.USER:
                key = each.idempotency_key or each.id
                prompts.append(Prompt(each.session_id, each.seq, key, each.job_id or "", text))
            else:
                answers.append(Answer(each.session_id, each.seq, each.id, each.job_id or "", text, each.failed))
        return [kept_job(each) for each in self.jobs()], prompts, answers

    def _run(self) -> None:
        while not self._enough.wait(PAUSE_S):
            with self._engine.connect() as connection:
                # Before the look: a lease that is valid now may be over a moment later, not the other way about.
                at = system_clock()
                self.looks.append(Look(at, [Seen(*row) for row in connection.execute(_look)]))


def kept_job(kept: KeptJob) -> Job:
    """A job of the store in the words of a history."""
    attempts = [Attempt(past.number, past.started, past.ended, past.outcome) for past in kept.past_attempts]
    if kept.outcome is not None:
        attempts.append(Attempt(kept.attempt, kept.attempt_started or 0, kept.ended or 0, kept.outcome))
    return Job(
        kept.id,
        kept.session_id,
        kept.seq,
        kept.state,
        kept.attempt,
        attempts,
        kept.ended,
        kept.retry_of,
        kept.created,
        kept.charges,
    )
