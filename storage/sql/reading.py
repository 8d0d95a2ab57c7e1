"""What is asked of the durable keeper without changing it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from domain.creation import committed_turns
from domain.errors import JobNotFound, MessageNotFound, SessionNotFound
from domain.jobs import Job, State
from domain.messages import Message, Turn
from domain.prompts import Prompt
from domain.sessions import Session
from storage.base import Branch, JobQuery, SessionQuery
from storage.sql import queue
from storage.sql.prepared import Prepared
from storage.sql.prepared_rows import as_json
from storage.sql.rows import JOB_COLUMNS, MESSAGE_COLUMNS, SESSION_COLUMNS, job_of, message_of, session_of
from storage.sql.schema import LISTED, OPEN, STAMPED, UNSUCCESSFUL, job, message, session
from storage.sql.transactions import Tx

_scope = (
    (message.c.tenant == sa.bindparam("tenant"))
    & (message.c.session_id == sa.bindparam("session_id"))
    & (message.c.incarnation == sa.bindparam("incarnation"))
)
_messages = sa.select(*MESSAGE_COLUMNS).where(_scope).order_by(message.c.seq, message.c.role)
_latest = sa.select(*MESSAGE_COLUMNS).where(_scope).order_by(message.c.seq.desc(), message.c.role.desc())
_messages_below = _messages.where(message.c.seq < sa.bindparam("below"))
_message = Prepared(sa.select(*MESSAGE_COLUMNS).where(_scope, message.c.id == sa.bindparam("id")))
_message_by_key = Prepared(
    sa.select(*MESSAGE_COLUMNS).where(_scope, message.c.idempotency_key == sa.bindparam("idempotency_key"))
)
#: All that a group of prompts asks for, in one statement; for Postgres, where each is a round trip.
_keyed = {
    name: Prepared(
        sa.text(
            f"SELECT {', '.join(f'message.{column.name}' for column in MESSAGE_COLUMNS)}"  # noqa: S608 - constants
            " FROM json_to_recordset(CAST(:rows AS json))"
            " AS v(tenant text, session_id text, incarnation bigint, key text) JOIN message"
            f" ON message.{name} = v.key AND message.session_id = v.session_id"
            " AND message.incarnation = v.incarnation AND message.tenant = v.tenant"
        )
    )
    for name in ("id", "idempotency_key")
}
_in_turn = Prepared(
    sa.select(*MESSAGE_COLUMNS).where(
        _scope, message.c.seq == sa.bindparam("seq"), message.c.role == sa.bindparam("role")
    )
)
_stamped_heads = sa.select(*JOB_COLUMNS).where(
    job.c.tenant == sa.bindparam("tenant"), sa.text(STAMPED), sa.text(LISTED.replace("id", "session_id"))
)

_OPEN_STATES = {State.QUEUED, State.RUNNING}
_UNSUCCESSFUL_STATES = {State.CANCELLED, State.EXPIRED, State.FAILED}

Key = tuple[str, str]
"""What a prompt is named by: `id` or `idempotency_key`, and the name."""


def key_of(prompt: Prompt) -> Key | None:
    """Return what a prompt is named by: its message ID, else its idempotency key."""
    if prompt.message_id is not None:
        return "id", prompt.message_id
    return None if prompt.idempotency_key is None else ("idempotency_key", prompt.idempotency_key)


def keyed_messages(tx: Tx, keys: Collection[tuple[Session, Key]]) -> dict[tuple[str, str, Key], Message]:
    """Find the messages that keys name in their sessions, by tenant, session ID and key."""
    found: dict[tuple[str, str, Key], Message] = {}
    if tx.is_sqlite or len(keys) == 1:
        for of, (kind, name) in keys:
            statement = _message if kind == "id" else _message_by_key
            row = statement.first(tx, {**_key(of), kind: name})
            if row is not None:
                found[of.tenant, of.id, (kind, name)] = message_of(row)
        return found
    for kind, statement in _keyed.items():
        rows = [{**_key(of), "key": name} for of, (kind_of_it, name) in keys if kind_of_it == kind]
        for row in statement.all(tx, {"rows": as_json(rows)}) if rows else ():
            kept = message_of(row)
            found[kept.tenant, kept.session_id, (kind, getattr(kept, kind))] = kept
    return found


def find_message(tx: Tx, of: Session, message_id: str) -> Message | None:
    """Find a message of a session by its ID."""
    row = _message.first(tx, {**_key(of), "id": message_id})
    return message_of(row) if row is not None else None


def find_prompt(tx: Tx, of: Job) -> Message | None:
    """Find the user message of a job."""
    return _in(tx, _key(of), of.seq, 0)


def find_answer(tx: Tx, tenant: str, session_id: str, incarnation: int, seq: int) -> Message | None:
    """Find the assistant message of a prompt."""
    return _in(tx, {"tenant": tenant, "session_id": session_id, "incarnation": incarnation}, seq, 1)


def _in(tx: Tx, key: dict[str, Any], seq: int, role: int) -> Message | None:
    row = _in_turn.first(tx, {**key, "seq": seq, "role": role})
    return message_of(row) if row is not None else None


def messages_of(tx: Tx, of: Session | Job, *, below: int | None = None) -> list[Message]:
    """Load a session's messages in order, or those before a sequence number."""
    if below is None:
        return [message_of(row) for row in tx.execute(_messages, _key(of)).all()]
    return [message_of(row) for row in tx.execute(_messages_below, {**_key(of), "below": below}).all()]


def history(tx: Tx, of: Job) -> list[Turn]:
    """Load the committed turns before a job."""
    return committed_turns(messages_of(tx, of, below=of.seq))


def branch(tx: Tx, tenant: str, source_id: str, before: str | None) -> Branch:
    """Load what a fork begins with. See `Store.branch`."""
    source = queue.load_session(tx, tenant, source_id, lock=False)
    until = None
    if before is not None:
        until = find_message(tx, source, before)
        if until is None:
            raise MessageNotFound(before)
    # An answer's own turn is left out with it: a prompt without its answer is not a committed turn.
    turns = committed_turns(messages_of(tx, source, below=until.seq if until is not None else None))
    still = queue.load_session(tx, tenant, source_id, lock=False)
    if still.incarnation != source.incarnation:  # deleted meanwhile, and its messages with it
        raise SessionNotFound(source_id)
    return Branch(source, turns)


def message_by_id(tx: Tx, tenant: str, session_id: str, message_id: str) -> Message:
    """Load a message. See `Store.message`."""
    found = find_message(tx, queue.load_session(tx, tenant, session_id, lock=False), message_id)
    if found is None:
        raise MessageNotFound(message_id)
    return found


def messages(
    tx: Tx, tenant: str, session_id: str, *, limit: int | None, before: tuple[int, str] | None
) -> list[Message]:
    """List messages. See `Store.messages`."""
    of = queue.load_session(tx, tenant, session_id, lock=False)
    statement = _latest
    if before is not None:
        seq, role = before
        earlier = message.c.seq < seq
        if role == "assistant":
            earlier |= (message.c.seq == seq) & (message.c.role == 0)
        statement = statement.where(earlier)
    if limit is not None:
        statement = statement.limit(limit)
    return [message_of(row) for row in tx.execute(statement, _key(of)).all()][::-1]


def sessions(tx: Tx, tenant: str, query: SessionQuery) -> list[Session]:
    """List sessions. See `Store.sessions`."""
    statement = sa.select(*SESSION_COLUMNS).where(session.c.tenant == tenant, sa.text(LISTED))
    if query.after is not None:
        updated, name = query.after
        statement = statement.where(session.c.updated <= updated, (session.c.updated < updated) | (session.c.id < name))
    if query.since is not None:
        statement = statement.where(session.c.updated >= query.since)
    if query.search:
        statement = statement.where(session.c.title.icontains(query.search, autoescape=True))
    if query.parent_id is not None:
        statement = statement.where(session.c.parent_id == query.parent_id)
    elif query.roots:
        statement = statement.where(session.c.parent_id.is_(None))
    statement = statement.order_by(session.c.updated.desc(), session.c.id.desc()).limit(query.limit)
    return [session_of(row) for row in tx.execute(statement).all()]


def busy_sessions(tx: Tx, tenant: str) -> dict[str, Job]:
    """Load the heads of a tenant's busy sessions, by session ID."""
    heads = (job_of(row) for row in tx.execute(_stamped_heads, {"tenant": tenant}).all())
    return {head.session_id: head for head in heads}


def job_by_id(tx: Tx, tenant: str, job_id: str) -> Job:
    """Load a job. See `Store.job`."""
    found = queue.find_job(tx, tenant, job_id)
    if found is None:
        raise JobNotFound(job_id)
    return found


def jobs(tx: Tx, tenant: str, query: JobQuery) -> list[Job]:
    """List jobs. See `Store.jobs`."""
    statement = sa.select(*JOB_COLUMNS).where(job.c.tenant == tenant)
    if query.states and _UNSUCCESSFUL_STATES.issuperset(query.states):
        statement = statement.where(sa.text(UNSUCCESSFUL))
    elif query.states and _OPEN_STATES.issuperset(query.states) and query.session_id is None:
        return _open_jobs(tx, tenant, query)
    if query.after is not None:
        created, name = query.after
        statement = statement.where(job.c.created <= created, (job.c.created < created) | (job.c.id < name))
    if query.states:
        statement = statement.where(job.c.state.in_(sorted(state.value for state in query.states)))
    if query.session_id is not None:
        statement = statement.where(job.c.session_id == query.session_id)
    if query.batch_id is not None:
        statement = statement.where(job.c.batch_id == query.batch_id)
    statement = statement.order_by(job.c.created.desc(), job.c.id.desc()).limit(query.limit)
    return [job_of(row) for row in tx.execute(statement).all()]


def _open_jobs(tx: Tx, tenant: str, query: JobQuery) -> list[Job]:
    """List open jobs: found among these alone, and then sorted, not among all that there ever were, in their order."""
    found = (
        sa.select(*JOB_COLUMNS).where(job.c.tenant == tenant, sa.text(OPEN)).cte("found").prefix_with("MATERIALIZED")
    )
    states = sorted(state.value for state in query.states)
    statement = sa.select(found).where(found.c.state.in_(states))
    if query.after is not None:
        created, name = query.after
        statement = statement.where((found.c.created < created) | ((found.c.created == created) & (found.c.id < name)))
    if query.batch_id is not None:
        statement = statement.where(found.c.batch_id == query.batch_id)
    statement = statement.order_by(found.c.created.desc(), found.c.id.desc()).limit(query.limit)
    return [job_of(row) for row in tx.execute(statement).all()]


def jobs_by_id(tx: Tx, names: Collection[tuple[str, str]]) -> dict[str, Job]:
    """Load jobs by (tenant, ID)."""
    return queue.load_jobs(tx, names)


def _key(of: Session | Job) -> dict[str, Any]:
    session_id = of.id if isinstance(of, Session) else of.session_id
    return {"tenant": of.tenant, "session_id": session_id, "incarnation": of.incarnation}
