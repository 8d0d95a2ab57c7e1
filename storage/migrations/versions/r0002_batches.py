"""Files and batches; the lines that jobs answer; one-offs, which are in no list of sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""IDs and keys, compared by their bytes: as SQLite does, and faster than by a language's rules."""


def upgrade() -> None:
    """Create the tables and their indexes."""
    op.add_column("job", sa.Column("line", sa.Text(), nullable=True))
    _partial("job_batch", "job", ["tenant", "batch_id"], "batch_id IS NOT NULL AND state IN ('queued', 'running')")
    _partial(
        "job_batch_ready",
        "job",
        ["tenant", "batch_id"],
        "batch_id IS NOT NULL AND state = 'queued' AND ready_at IS NOT NULL",
    )
    op.drop_index("session_updated", "session")
    _partial("session_listed", "session", ["tenant", "updated", "id"], "NOT (id >= 'ses_.' AND id < 'ses_/')")
    op.create_table(
        "file",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("batch_id", NAME, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    op.create_index("file_created", "file", ["tenant", "created", "id"])
    _partial("file_expires", "file", ["expires"], "expires IS NOT NULL")
    op.create_table(
        "file_part",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("file_id", NAME, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "file_id", "start"),
    )
    op.create_table(
        "batch",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("id", NAME, nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("input_file_id", NAME, nullable=False),
        sa.Column("input_name", sa.Text(), nullable=False),
        sa.Column("input_digest", sa.Text(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("ending", sa.Text(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("invalid", sa.BigInteger(), nullable=False),
        sa.Column("has_ephemeral", sa.Boolean(), nullable=False),
        sa.Column("place_number", sa.BigInteger(), nullable=False),
        sa.Column("place_offset", sa.BigInteger(), nullable=False),
        sa.Column("passed", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.Text(), nullable=False),
        sa.Column("in_progress_at", sa.BigInteger(), nullable=True),
        sa.Column("cancelling_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("output_file_id", NAME, nullable=True),
        sa.Column("error_file_id", NAME, nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id"),
    )
    _partial(
        "batch_active", "batch", ["tenant", "input_file_id"], "state IN ('validating', 'in_progress', 'cancelling')"
    )
    op.create_index("batch_created", "batch", ["tenant", "created", "id"])
    _partial("batch_ended", "batch", ["ended_at"], "ended_at IS NOT NULL")
    op.create_table(
        "line",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("batch_id", NAME, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("custom_id", NAME, nullable=False),
        sa.Column("hash", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("job_id", NAME, nullable=True),
        sa.Column("shard", sa.SmallInteger(), nullable=True),
        sa.Column("place", sa.BigInteger(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "batch_id", "number"),
    )
    op.create_index("line_custom_id", "line", ["tenant", "batch_id", "custom_id"])
    op.create_index("line_place", "line", ["tenant", "batch_id", "shard", "place"])
    _partial("line_watched", "line", ["tenant", "batch_id", "number"], "state = 'watched'")
    op.create_table(
        "tally",
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("batch_id", NAME, nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("succeeded", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), nullable=False),
        sa.Column("expired", sa.BigInteger(), nullable=False),
        sa.Column("input", sa.BigInteger(), nullable=False),
        sa.Column("output", sa.BigInteger(), nullable=False),
        sa.Column("reasoning", sa.BigInteger(), nullable=False),
        sa.Column("cache_read", sa.BigInteger(), nullable=False),
        sa.Column("cache_write", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("output_size", sa.BigInteger(), nullable=False),
        sa.Column("error_size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "batch_id", "shard"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # As `0001` does for the rows of queues; and what is compressed already need not be tried again.
        op.execute("ALTER TABLE tally SET (fillfactor = 50, autovacuum_vacuum_threshold = 1000)")
        op.execute("ALTER TABLE file_part ALTER COLUMN body SET STORAGE EXTERNAL")


def _partial(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
