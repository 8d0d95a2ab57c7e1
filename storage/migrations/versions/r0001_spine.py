"""Sessions, messages, jobs, duties."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""IDs and keys, compared by their bytes: as SQLite does, and faster than by a language's rules."""


def upgrade() -> None:
    """Create the tables and their indexes."""
    op.create_table(
        "duty",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "job",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("session_id", NAME, nullable=False),
        sa.Column("incarnation", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("message_id", NAME, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("timeout_ms", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("retry_of", sa.Text(), nullable=True),
        sa.Column("batch_id", sa.Text(), nullable=True),
        sa.Column("ready_at", sa.BigInteger(), nullable=True),
        sa.Column("rank", sa.SmallInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("charges", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("renewed", sa.BigInteger(), nullable=True),
        sa.Column("assistant_id", NAME, nullable=True),
        sa.Column("cancel_requested", sa.Text(), nullable=True),
        sa.Column("started", sa.BigInteger(), nullable=True),
        sa.Column("attempt_started", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("usage", sa.Text(), nullable=True),
        sa.Column("cost", sa.Float(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("past_attempts", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("suspect", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("job_created", "job", ["tenant", "created", "id"], unique=False)
    op.create_index(
        "job_unsuccessful",
        "job",
        ["tenant", "created", "id"],
        unique=False,
        sqlite_where=sa.text("state IN ('cancelled', 'expired', 'failed')"),
        postgresql_where=sa.text("state IN ('cancelled', 'expired', 'failed')"),
    )
    op.create_index(
        "job_ended",
        "job",
        ["ended"],
        unique=False,
        sqlite_where=sa.text("ended IS NOT NULL"),
        postgresql_where=sa.text("ended IS NOT NULL"),
    )
    op.create_index(
        "job_expiring",
        "job",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND expires_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND expires_at IS NOT NULL"),
    )
    op.create_index(
        "job_head",
        "job",
        ["tenant", "session_id", "incarnation"],
        unique=True,
        sqlite_where=sa.text("ready_at IS NOT NULL"),
        postgresql_where=sa.text("ready_at IS NOT NULL"),
    )
    op.create_index(
        "job_open",
        "job",
        ["tenant", "session_id", "incarnation", "seq"],
        unique=False,
        sqlite_where=sa.text("state IN ('queued', 'running')"),
        postgresql_where=sa.text("state IN ('queued', 'running')"),
    )
    op.create_index(
        "job_ready",
        "job",
        ["suspect", "rank", "ready_at"],
        unique=False,
        sqlite_where=sa.text("state = 'queued' AND ready_at IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND ready_at IS NOT NULL"),
    )
    op.create_index(
        "job_running",
        "job",
        ["lease_until"],
        unique=False,
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_index("job_session", "job", ["tenant", "session_id", "created", "id"], unique=False)
    op.create_table(
        "message",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("session_id", NAME, nullable=False),
        sa.Column("incarnation", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("job_id", NAME, nullable=True),
        sa.Column("content_hash", sa.Text(), nullable=True),
        sa.Column("idempotency_key", NAME, nullable=True),
        sa.Column("job_state", sa.Text(), nullable=True),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "session_id", "incarnation", "seq", "role"),
    )
    op.create_index("message_id", "message", ["id", "session_id", "incarnation", "tenant"], unique=True)
    op.create_index(
        "message_idempotency_key",
        "message",
        ["idempotency_key", "session_id", "incarnation", "tenant"],
        unique=True,
        sqlite_where=sa.text("idempotency_key IS NOT NULL"),
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "session",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("incarnation", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("updated", sa.BigInteger(), nullable=False),
        sa.Column("parent_id", NAME, nullable=True),
        sa.Column("workspace_id", sa.Text(), nullable=True),
        sa.Column("agent", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("variant", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.Column("permission", sa.Text(), nullable=True),
        sa.Column("archived", sa.BigInteger(), nullable=True),
        sa.Column("on_failure", sa.Text(), nullable=False),
        sa.Column("created_with", sa.Text(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Text(), nullable=False),
        sa.Column("usage", sa.Text(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index(
        "session_children",
        "session",
        ["tenant", "parent_id"],
        unique=False,
        sqlite_where=sa.text("parent_id IS NOT NULL"),
        postgresql_where=sa.text("parent_id IS NOT NULL"),
    )
    op.create_index("session_updated", "session", ["tenant", "updated", "id"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        # Rows of a queue die young: each job is updated three times within seconds. Vacuum and analyse after a few
        # thousand changes, not after a fifth of the table.
        for table in ("job", "session", "message"):
            op.execute(
                f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000,"
                " autovacuum_analyze_scale_factor = 0.02, autovacuum_analyze_threshold = 2000)"
            )
