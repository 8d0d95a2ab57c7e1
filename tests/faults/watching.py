"""What the store holds of one round: looked at all the while and read whole at its end, past promptq's own calls."""

import threading
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from domain.clock import system_clock
from domain.messages import Role
from storage.sql.rows import JOB_COLUMNS, MESSAGE_COLUMNS, SESSION_COLUMNS, job_of, message_of, session_of
from storage.sql.schema import job, message, session
from tests.crash.executor import text_of
from tests.crash.observer import kept_job
from tests.support.history import Answer, KeptSession, Look, Prompt, Seen
from tests.support.history_files import Records
from tests.support.waiting import eventually

PAUSE_S = 0.1

#: So many looks at what runs come to one at everything.
WHOLE_EVERY = 50

_seen = (job.c.id, job.c.session_id, job.c.state, job.c.attempt, job.c.worker, job.c.lease_until)
_mine = job.c.session_id.startswith(sa.bindparam("prefix"), autoescape=False)
_all = sa.select(*_seen).where(_mine)
_running = _all.where(sa.text("state = 'running'"))
_open = sa.select(sa.func.count()).where(sa.text("state IN ('queued', 'running')"), _mine)


class Watch:
    """Looks at a database from the side. A context manager: it looks on for as long as it is open."""

    def __init__(self, url: str, round_name: str, directory: Path) -> None:
        self._prefix = {"prefix": f"ses_{round_name}_"}
        self._engine = sa.create_engine(url, poolclass=sa.NullPool)
        self._records = Records(directory / "store.jsonl")
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.looks = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()
        self._records.close()
        self._engine.dispose()

    def open_jobs(self) -> int:
        """Count the jobs that have not ended."""
        with self._engine.connect() as connection:
            return int(connection.execute(_open, self._prefix).scalar_one())

    def until_all_have_ended(self, timeout: float) -> bool:
        """Wait until no job is open. Says whether that came to be: whether it had to is the checker's to say."""
        try:
            return eventually(lambda: not self.open_jobs(), timeout, what="no job is open")
        except AssertionError:
            return False

    def read(self) -> None:
        """Write down all that is kept of the round."""
        with self._engine.connect() as connection:
            for row in connection.execute(sa.select(*JOB_COLUMNS).where(_mine), self._prefix):
                self._records.write(kept_job(job_of(row)))
            mine = message.c.session_id.startswith(sa.bindparam("prefix"), autoescape=False)
            of_jobs = sa.select(*MESSAGE_COLUMNS).where(message.c.job_id.is_not(None), mine)
            for each in map(message_of, connection.execute(of_jobs, self._prefix)):
                text = text_of(each.parts)
                record: Prompt | Answer
                if each.role is Role.USER:
                    key = each.idempotency_key or each.id
                    record = Prompt(each.session_id, each.seq, key, each.job_id or "", text)
                else:
                    record = Answer(each.session_id, each.seq, each.id, each.job_id or "", text, each.failed)
                self._records.write(record)
            there = sa.select(*SESSION_COLUMNS).where(session.c.id.startswith(sa.bindparam("prefix"), autoescape=False))
            for found in map(session_of, connection.execute(there, self._prefix)):
                self._records.write(KeptSession(found.id, found.open_total))

    def _run(self) -> None:
        while not self._enough.wait(PAUSE_S):
            statement = _all if self.looks % WHOLE_EVERY == WHOLE_EVERY - 1 else _running
            self.looks += 1
            try:
                with self._engine.connect() as connection:
                    # Before the look: a lease that is valid now may be over a moment later, not the other way about.
                    at = system_clock()
                    seen = [Seen(*row) for row in connection.execute(statement, self._prefix)]
            except sa.exc.DBAPIError:
                continue  # the database is being killed
            self._records.write(Look(at, seen))
