"""How prompts get in: sessions created, forked and found, keys checked, places given."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from domain import creation as creating
from domain import lifecycle
from domain.clock import Millis
from domain.errors import (
    BacklogFull,
    InvalidRequest,
    JobNotFound,
    JobNotRetryable,
    MessageNotFound,
    PromptDiffers,
    SessionBusy,
    SessionNotFound,
)
from domain.jobs import Job, State
from domain.messages import Message, Role
from domain.prompts import Admission, Disposition, Prompt
from domain.sameness import refuse_answers_name, same_prompt
from domain.sessions import Creation, Session
from storage.base import Branch
from storage.sql import queue
from storage.sql.prepared import Prepared
from storage.sql.reading import find_message, find_prompt
from storage.sql.rows import MESSAGE_COLUMNS, message_of, session_row
from storage.sql.schema import OPEN, job, message, session
from storage.sql.transactions import Tx

#: SQLAlchemy forgets how many rows an INSERT made unless it is told to keep the count.
_claim_name = {
    "sqlite": Prepared(sqlite.insert(session).on_conflict_do_nothing(), session.c.keys()),
    "postgresql": Prepared(postgresql.insert(session).on_conflict_do_nothing(), session.c.keys()),
}
_by_idempotency_key = Prepared(
    sa.select(*MESSAGE_COLUMNS).where(
        message.c.tenant == sa.bindparam("tenant"),
        message.c.session_id == sa.bindparam("session_id"),
        message.c.incarnation == sa.bindparam("incarnation"),
        message.c.idempotency_key == sa.bindparam("key"),
    )
)
_count_open = sa.select(sa.func.count()).select_from(
    sa.select(sa.literal_column("1").label("one"))
    .select_from(job)
    .where(job.c.tenant == sa.bindparam("tenant"), sa.text(OPEN))
    .limit(sa.bindparam("most"))
    .subquery()
)

BACKLOG_RETRY_AFTER_S = 10
EXACT_BACKLOG = 1_000
"""Up to this limit open jobs are counted at each admission; above it, once a second."""


@dataclass
class Backlog:
    """Knows, nearly, how many open jobs each tenant has: to count a million each time would cost too much."""

    limit: int

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[str, tuple[float, int]] = {}

    def check(self, tx: Tx, tenant: str) -> None:
        """Refuse a prompt beyond the limit.

        Raises:
            BacklogFull: the tenant has too many open jobs.
        """
        with self._lock:
            counted_at, count = self._counted.get(tenant, (float("-inf"), 0))
        age = time.monotonic() - counted_at
        # A count that is far from the limit stays good for longer: thousands a second cannot reach it meanwhile.
        if self.limit <= EXACT_BACKLOG or age > (1 if count > self.limit // 2 else 10):
            count = tx.execute(_count_open, {"tenant": tenant, "most": self.limit}).scalar_one()
            counted_at = time.monotonic()
        with self._lock:
            self._counted[tenant] = (counted_at, count + 1)
        if count >= self.limit:
            raise BacklogFull(self.limit, BACKLOG_RETRY_AFTER_S)


def create_session(tx: Tx, tenant: str, creation: Creation) -> tuple[Session, bool]:
    """Create a session or return the one that is there. See `Store.create_session`."""
    found, created = _find_or_create(tx, tenant, creation, before=lambda: _check_parent(tx, tenant, creation))
    if created:
        return found, True
    repeated = creating.repeat(found, creation)
    if repeated is not found:
        _check_parent(tx, tenant, creation)
        queue.save_session(tx, repeated)
    return repeated, False


def plant(tx: Tx, tenant: str, creation: Creation, branch: Branch) -> tuple[Session, bool]:
    """Create a session from turns of another, or return the one that is there. See `Store.plant`."""
    change = creating.fork(tenant, branch.source, creation, branch.turns, tx.now())
    if _insert_if_free(tx, change.session):
        queue.insert_messages(tx, change.messages)
        return change.session, True
    there = queue.load_session(tx, tenant, creation.session_id, lock=True)
    return creating.repeat_fork(there, creation), False


def _insert_if_free(tx: Tx, value: Session) -> bool:
    statement = _claim_name[tx.connection.dialect.name]
    return statement.run(tx, session_row(value)) == 1


def _find_or_create(
    tx: Tx, tenant: str, creation: Creation, *, before: Callable[[], None] = lambda: None
) -> tuple[Session, bool]:
    """Find and lock a session, or create it; safe against others that create or delete it at once.

    `before` runs before a creation, and may refuse it.
    """
    while True:
        found = queue.find_session(tx, tenant, creation.session_id, lock=True)
        if found is not None:
            return found, False
        before()
        made = creating.new_session(tenant, creation, tx.now())
        if _insert_if_free(tx, made):
            return made, True


def _check_parent(tx: Tx, tenant: str, creation: Creation) -> None:
    parent_id = creation.parent_id
    if parent_id is not None and queue.find_session(tx, tenant, parent_id, lock=False) is None:
        message = f"parentID names no session: {parent_id}"
        raise InvalidRequest(message, field="parentID")


def admit(tx: Tx, tenant: str, session_id: str, prompt: Prompt, *, default_model: str, backlog: Backlog) -> Admission:
    """Take a prompt. See `Store.admit`."""
    if prompt.if_missing == "fail":
        found, created = queue.load_session(tx, tenant, session_id, lock=True), False
    else:
        implied = creating.implied(session_id, prompt)
        found, created = _find_or_create(
            tx, tenant, implied, before=lambda: _check_backlog(tx, tenant, prompt, backlog)
        )
    if not created:
        kept = _kept(tx, found, prompt)
        if kept is not None:
            if not same_prompt(kept, prompt, found, default_model=default_model):
                field = "messageID" if prompt.message_id else "Idempotency-Key"
                raise PromptDiffers(prompt.message_id or prompt.idempotency_key or "", field)
            job = queue.find_job(tx, tenant, kept.job_id) if kept.job_id is not None else None
            return Admission(Disposition.REPEATED, False, found, kept, job)  # noqa: FBT003 - named in the record
        if found.open_total and prompt.when_busy == "reject":
            raise SessionBusy(session_id)
        _check_backlog(tx, tenant, prompt, backlog)
    now = tx.now()
    ended: tuple[Job, ...] = ()
    interrupted: tuple[Job, ...] = ()
    if found.open_total and prompt.when_busy == "interrupt":
        found, ended, interrupted = _interrupt(tx, found, now)
    change = lifecycle.admit(found, prompt, default_model=default_model, now=now)
    new = change.jobs[0] if change.jobs else None
    if new is not None and not found.open_total:
        new = lifecycle.stamp(change.session, new, now)
        queue.insert_jobs(tx, (new,))
    elif new is not None:
        queue.insert_jobs(tx, (new,))
        if change.session.urgency != found.urgency:
            queue.stamp_heads(tx, (change.session,), now)
    queue.insert_messages(tx, change.messages)
    queue.save_queues(tx, (change.session,))
    return Admission(Disposition.ADMITTED, created, change.session, change.messages[0], new, ended, interrupted)


def _check_backlog(tx: Tx, tenant: str, prompt: Prompt, backlog: Backlog) -> None:
    if not prompt.no_reply:
        backlog.check(tx, tenant)


def _kept(tx: Tx, of: Session, prompt: Prompt) -> Message | None:
    """Find the message that the prompt's key names, if it has one."""
    if prompt.message_id is not None:
        kept = find_message(tx, of, prompt.message_id)
        if kept is None and of.open_total:
            refuse_answers_name(prompt, queue.find_head(tx, of))
        return kept
    if prompt.idempotency_key is None:
        return None
    scope = {"tenant": of.tenant, "session_id": of.id, "incarnation": of.incarnation, "key": prompt.idempotency_key}
    row = _by_idempotency_key.first(tx, scope)
    return message_of(row) if row is not None else None


def _interrupt(tx: Tx, found: Session, now: Millis) -> tuple[Session, tuple[Job, ...], tuple[Job, ...]]:
    change = lifecycle.cancel_all(found, queue.open_jobs(tx, found), now, why=lifecycle.INTERRUPTED)
    queue.save_jobs(tx, change.jobs)
    queue.insert_messages(tx, change.messages)
    ended = tuple(each for each in change.jobs if not each.state.is_open)
    return change.session, ended, tuple(each for each in change.jobs if each.state is State.RUNNING)


def retry_job(
    tx: Tx, tenant: str, job_id: str, *, idempotency_key: str | None, default_model: str, backlog: Backlog
) -> Admission:
    """Admit a job that repeats an ended one. See `Store.retry_job`."""
    old = queue.find_job(tx, tenant, job_id)
    if old is None:
        raise JobNotFound(job_id)
    found = queue.load_session(tx, tenant, old.session_id, lock=True)
    if found.incarnation != old.incarnation:
        raise SessionNotFound(old.session_id)
    old = queue.find_job(tx, tenant, job_id) or old
    if old.state.is_open or old.state is State.SUCCEEDED:
        raise JobNotRetryable(job_id, old.state)
    original = find_prompt(tx, old)
    if original is None or original.role is not Role.USER:
        raise MessageNotFound(old.message_id)
    prompt = lifecycle.retried(old, original).evolve(idempotency_key=idempotency_key)
    return admit(tx, tenant, old.session_id, prompt, default_model=default_model, backlog=backlog)
