"""The tables of the durable keeper, and the indexes that its queries were written for.

JSON is kept as text, encoded and decoded by `storage.sql.rows`: the same in both databases, and a NUL character inside
a prompt stays an escape. Partial indexes serve only queries whose condition is written exactly like the index's, with
literal states: SQLite compares the text, and Postgres cannot match a bound value under a generic plan.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""IDs and keys, compared by their bytes: as SQLite does, and faster than by a language's rules."""

QUEUED = "state = 'queued'"
OPEN = "state IN ('queued', 'running')"
RUNNING = "state = 'running'"
UNSUCCESSFUL = "state IN ('cancelled', 'expired', 'failed')"
STAMPED = "ready_at IS NOT NULL"
OF_BATCH = "batch_id IS NOT NULL"
LISTED = "NOT (id >= 'ses_.' AND id < 'ses_/')"
"""Sessions that are no one-off's: see `domain.ids.is_hidden`."""
READY = f"{QUEUED} AND {STAMPED}"

session = sa.Table(
    "session",
    metadata,
    sa.Column("tenant", NAME, primary_key=True),
    sa.Column("id", NAME, primary_key=True),
    sa.Column("incarnation", sa.BigInteger, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("directory", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("updated", sa.BigInteger, nullable=False),
    sa.Column("parent_id", NAME),
    sa.Column("workspace_id", sa.Text),
    sa.Column("agent", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("variant", sa.Text),
    sa.Column("metadata", sa.Text),
    sa.Column("permission", sa.Text),
    sa.Column("archived", sa.BigInteger),
    sa.Column("on_failure", sa.Text, nullable=False),
    sa.Column("created_with", sa.Text),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("open", sa.Text, nullable=False),
    sa.Column("usage", sa.Text, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
)
#: Lists of sessions: those of one-offs are in none, however many there are.
sa.Index(
    "session_listed",
    session.c.tenant,
    session.c.updated,
    session.c.id,
    sqlite_where=sa.text(LISTED),
    postgresql_where=sa.text(LISTED),
)
sa.Index(
    "session_children",
    session.c.tenant,
    session.c.parent_id,
    sqlite_where=sa.text("parent_id IS NOT NULL"),
    postgresql_where=sa.text("parent_id IS NOT NULL"),
)

message = sa.Table(
    "message",
    metadata,
    sa.Column("tenant", NAME, primary_key=True),
    sa.Column("session_id", NAME, primary_key=True),
    sa.Column("incarnation", sa.BigInteger, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    #: 0 the user's, 1 the assistant's: the order within a turn.
    sa.Column("role", sa.SmallInteger, primary_key=True),
    sa.Column("id", NAME, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("parts", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("job_id", NAME),
    sa.Column("content_hash", sa.Text),
    sa.Column("idempotency_key", NAME),
    sa.Column("job_state", sa.Text),
    sa.Column("failed", sa.Boolean, nullable=False),
)
#: Led by what they are for, not by the session as the primary key is: over a table that it has no statistics of yet,
#: Postgres holds every index that shares a prefix for equally good, and walked through whole sessions by the wrong one.
_MESSAGE_SCOPE = (message.c.session_id, message.c.incarnation, message.c.tenant)
sa.Index("message_id", message.c.id, *_MESSAGE_SCOPE, unique=True)
sa.Index(
    "message_idempotency_key",
    message.c.idempotency_key,
    *_MESSAGE_SCOPE,
    unique=True,
    sqlite_where=sa.text("idempotency_key IS NOT NULL"),
    postgresql_where=sa.text("idempotency_key IS NOT NULL"),
)

job = sa.Table(
    "job",
    metadata,
    sa.Column("tenant", NAME, primary_key=True),
    sa.Column("id", NAME, primary_key=True),
    sa.Column("session_id", NAME, nullable=False),
    sa.Column("incarnation", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("message_id", NAME, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("max_attempts", sa.Integer, nullable=False),
    sa.Column("timeout_ms", sa.BigInteger, nullable=False),
    sa.Column("not_before", sa.BigInteger),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("retry_of", sa.Text),
    sa.Column("batch_id", sa.Text),
    #: Of a batch's job: `domain.batches.lines.LineName`.
    sa.Column("line", sa.Text),
    sa.Column("ready_at", sa.BigInteger),
    sa.Column("rank", sa.SmallInteger, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("charges", sa.Integer, nullable=False),
    sa.Column("losses", sa.Integer, nullable=False),
    sa.Column("worker", sa.Text),
    sa.Column("lease_until", sa.BigInteger),
    sa.Column("renewed", sa.BigInteger),
    sa.Column("assistant_id", NAME),
    sa.Column("cancel_requested", sa.Text),
    sa.Column("started", sa.BigInteger),
    sa.Column("attempt_started", sa.BigInteger),
    sa.Column("ended", sa.BigInteger),
    sa.Column("usage", sa.Text),
    sa.Column("cost", sa.Float),
    sa.Column("failure", sa.Text),
    sa.Column("past_attempts", sa.Text),
    sa.Column("outcome", sa.Text),
    #: `Job.is_suspect`, for the index of ready heads: suspects are looked for apart from the rest.
    sa.Column("suspect", sa.SmallInteger, nullable=False),
)
_JOB_SCOPE = (job.c.tenant, job.c.session_id, job.c.incarnation)


def _partial(name: str, where: str, *columns: sa.Column[object], unique: bool = False) -> sa.Index:
    condition = sa.text(where)
    return sa.Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


#: At most one head a session: what makes two holders of one session impossible.
_partial("job_head", STAMPED, *_JOB_SCOPE, unique=True)
#: Claims: ready heads by rank and time.
_partial("job_ready", READY, job.c.suspect, job.c.rank, job.c.ready_at)
#: The open jobs of a session in their order.
_partial("job_open", OPEN, *_JOB_SCOPE, job.c.seq)
#: Leases that ran out.
_partial("job_running", RUNNING, job.c.lease_until)
#: Jobs that must start by a time.
_partial("job_expiring", f"{QUEUED} AND expires_at IS NOT NULL", job.c.expires_at)
#: Retention.
_partial("job_ended", "ended IS NOT NULL", job.c.ended)
#: Lists of what went wrong, among millions that did not.
_partial("job_unsuccessful", UNSUCCESSFUL, job.c.tenant, job.c.created, job.c.id)
#: The open jobs of a batch, and those of its heads that wait for a worker.
_partial("job_batch", f"{OF_BATCH} AND {OPEN}", job.c.tenant, job.c.batch_id)
_partial("job_batch_ready", f"{OF_BATCH} AND {READY}", job.c.tenant, job.c.batch_id)
sa.Index("job_created", job.c.tenant, job.c.created, job.c.id)
#: Not by incarnation and sequence: SQLite would take it for the open jobs, and walk past all that have ended.
sa.Index("job_session", job.c.tenant, job.c.session_id, job.c.created, job.c.id)

duty = sa.Table(
    "duty",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
)
