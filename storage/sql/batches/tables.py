"""The tables of files and batches."""

from __future__ import annotations

import sqlalchemy as sa

from storage.sql.schema import NAME, metadata

ACTIVE = "state IN ('validating', 'in_progress', 'cancelling')"
WATCHED = "state = 'watched'"

file = sa.Table(
    "file",
    metadata,
    sa.Column("tenant", NAME, primary_key=True),
    sa.Column("id", NAME, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("batch_id", NAME),
)
sa.Index("file_created", file.c.tenant, file.c.created, file.c.id)
sa.Index(
    "file_expires",
    file.c.expires,
    sqlite_where=sa.text("expires IS NOT NULL"),
    postgresql_where=sa.text("expires IS NOT NULL"),
)

#: What was uploaded, in pieces that are compressed each by itself.
file_part = sa.Table(
    "file_part",
    metadata,
    sa.Column("tenant", NAME, primary_key=True),
    sa.Column("file_id", NAME, primary_key=True),
    #: Where it begins in the file, in bytes.
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)

batch = sa.Table(
    "batch",
    metadata,
    sa.Column("tenant", NAME, primary_key=True),
    sa.Column("id", NAME, primary_key=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("input_file_id", NAME, nullable=False),
    sa.Column("input_name", sa.Text, nullable=False),
    sa.Column("input_digest", sa.Text, nullable=False),
    sa.Column("created", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("priority", sa.SmallInteger, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("ending", sa.Text),
    sa.Column("total", sa.BigInteger, nullable=False),
    sa.Column("invalid", sa.BigInteger, nullable=False),
    sa.Column("has_ephemeral", sa.Boolean, nullable=False),
    sa.Column("place_number", sa.BigInteger, nullable=False),
    sa.Column("place_offset", sa.BigInteger, nullable=False),
    sa.Column("passed", sa.BigInteger, nullable=False),
    sa.Column("errors", sa.Text, nullable=False),
    sa.Column("in_progress_at", sa.BigInteger),
    sa.Column("cancelling_at", sa.BigInteger),
    sa.Column("ended_at", sa.BigInteger),
    sa.Column("output_file_id", NAME),
    sa.Column("error_file_id", NAME),
)
sa.Index("batch_created", batch.c.tenant, batch.c.created, batch.c.id)
sa.Index(
    "batch_active",
    batch.c.tenant,
    batch.c.input_file_id,
    sqlite_where=sa.text(ACTIVE),
    postgresql_where=sa.text(ACTIVE),
)
sa.Index(
    "batch_ended",
    batch.c.ended_at,
    sqlite_where=sa.text("ended_at IS NOT NULL"),
    postgresql_where=sa.text("ended_at IS NOT NULL"),
)

#: Lines that have an outcome, or are watched. A line that waits, or whose job is open, has no row.
line = sa.Table(
    "line",
    metadata,
    sa.Column("tenant", NAME, primary_key=True),
    sa.Column("batch_id", NAME, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("custom_id", NAME, nullable=False),
    sa.Column("hash", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("job_id", NAME),
    #: The order of completion: each shard's places have no gaps, and are seen in their order. None if watched.
    sa.Column("shard", sa.SmallInteger),
    sa.Column("place", sa.BigInteger),
    #: The line of the output or error file; None if watched, or when that file is gone.
    sa.Column("text", sa.Text),
)
sa.Index("line_custom_id", line.c.tenant, line.c.batch_id, line.c.custom_id)
sa.Index("line_place", line.c.tenant, line.c.batch_id, line.c.shard, line.c.place)
sa.Index(
    "line_watched",
    line.c.tenant,
    line.c.batch_id,
    line.c.number,
    sqlite_where=sa.text(WATCHED),
    postgresql_where=sa.text(WATCHED),
)

#: What has become of a batch's lines, in shards: processes that note ends at the same time have rows of their own.
tally = sa.Table(
    "tally",
    metadata,
    sa.Column("tenant", NAME, primary_key=True),
    sa.Column("batch_id", NAME, primary_key=True),
    sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
    #: The place of the latest line.
    sa.Column("place", sa.BigInteger, nullable=False),
    sa.Column("succeeded", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),
    sa.Column("cancelled", sa.BigInteger, nullable=False),
    sa.Column("expired", sa.BigInteger, nullable=False),
    sa.Column("input", sa.BigInteger, nullable=False),
    sa.Column("output", sa.BigInteger, nullable=False),
    sa.Column("reasoning", sa.BigInteger, nullable=False),
    sa.Column("cache_read", sa.BigInteger, nullable=False),
    sa.Column("cache_write", sa.BigInteger, nullable=False),
    sa.Column("cost", sa.Float, nullable=False),
    sa.Column("output_size", sa.BigInteger, nullable=False),
    sa.Column("error_size", sa.BigInteger, nullable=False),
)
