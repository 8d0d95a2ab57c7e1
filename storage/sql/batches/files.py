"""How files are kept in SQL: uploaded ones in compressed pieces, those that batches put out as the batches' lines."""

from __future__ import annotations

import zlib
from typing import Any

import sqlalchemy as sa

from domain.batches.batch import File, FileKind, FileState, LineState
from domain.clock import Millis
from domain.errors import FileNotFound
from storage.batches import Listing
from storage.sql.batches.rows import FILE_COLUMNS, file_of, file_row
from storage.sql.batches.tables import ACTIVE, batch, file, file_part, line
from storage.sql.transactions import Tx

LEVEL = 1
"""Of zlib: quick, and it makes text a quarter to a tenth as long."""

LINES_AT_ONCE = 500

UPLOAD_MS: Millis = 3_600_000
"""The longest that an upload may take."""

_key = (file.c.tenant == sa.bindparam("key_tenant")) & (file.c.id == sa.bindparam("key_id"))
_one = sa.select(*FILE_COLUMNS).where(_key)
_replace = file.update().where(_key)
_part_at = (
    sa.select(file_part.c.start, file_part.c.body)
    .where(
        file_part.c.tenant == sa.bindparam("tenant"),
        file_part.c.file_id == sa.bindparam("file_id"),
        file_part.c.start <= sa.bindparam("start"),
    )
    .order_by(file_part.c.start.desc())
    .limit(1)
)
_lines_after = (
    sa.select(line.c.number, line.c.text)
    .where(
        line.c.tenant == sa.bindparam("tenant"),
        line.c.batch_id == sa.bindparam("batch_id"),
        line.c.number > sa.bindparam("after"),
        line.c.text.is_not(None),
    )
    .order_by(line.c.number)
    .limit(LINES_AT_ONCE)
)
_IS_SUCCESS = line.c.state == LineState.SUCCEEDED.value
_output = {"output": _lines_after.where(_IS_SUCCESS), "error": _lines_after.where(~_IS_SUCCESS)}


def insert(tx: Tx, value: File) -> None:
    tx.execute(file.insert(), file_row(value))


def begin(tx: Tx, tenant: str, file_id: str) -> File:
    """Begin an upload."""
    now = tx.now()
    made = File(tenant, file_id, "", "", now, now + UPLOAD_MS)
    insert(tx, made)
    return made


def replace(tx: Tx, value: File, *, only: FileState | None = None) -> None:
    """Write a file that is there anew, if it is `only` in that state.

    Raises:
        FileNotFound: it is not there any more, or not in that state.
    """
    row = file_row(value)
    key = {"key_tenant": row.pop("tenant"), "key_id": row.pop("id")}
    statement = _replace if only is None else _replace.where(file.c.state == only)
    if not tx.execute(statement.values(**row), key).rowcount:
        raise FileNotFound(value.id)


def add_part(tx: Tx, tenant: str, file_id: str, start: int, body: bytes) -> None:
    tx.execute(file_part.insert(), {"tenant": tenant, "file_id": file_id, "start": start, "body": body})


def compressed(body: bytes) -> bytes:
    return zlib.compress(body, LEVEL)


def load(tx: Tx, tenant: str, file_id: str) -> File:
    """Load a file that is there.

    Raises:
        FileNotFound: it is not, or not yet, or not any more.
    """
    found = find(tx, tenant, file_id)
    if found is None or found.state != "ready" or (found.expires is not None and found.expires <= tx.now()):
        raise FileNotFound(file_id)
    return found


def find(tx: Tx, tenant: str, file_id: str) -> File | None:
    """Find a file, in whatever state it is."""
    row = tx.execute(_one, {"key_tenant": tenant, "key_id": file_id}).first()
    return None if row is None else file_of(row)


def listed(tx: Tx, tenant: str, query: Listing) -> list[File]:
    """List files. See `Batches.files`."""
    statement = sa.select(*FILE_COLUMNS).where(
        file.c.tenant == tenant,
        file.c.state == "ready",
        (file.c.expires.is_(None)) | (file.c.expires > tx.now()),
    )
    if query.purpose is not None:
        statement = statement.where(file.c.purpose == query.purpose)
    order: tuple[Any, ...] = (file.c.created.desc(), file.c.id.desc())
    if query.ascending:
        order = (file.c.created, file.c.id)
    if query.after is not None:
        last = load(tx, tenant, query.after)
        place = sa.tuple_(file.c.created, file.c.id)
        seen = sa.tuple_(sa.literal(last.created), sa.literal(last.id))
        statement = statement.where(place > seen if query.ascending else place < seen)
    return [file_of(row) for row in tx.execute(statement.order_by(*order).limit(query.limit)).all()]


def delete(tx: Tx, tenant: str, file_id: str) -> None:
    """Take a file away. See `Batches.delete_file`."""
    found = load(tx, tenant, file_id)
    replace(tx, found.evolve(state="gone", expires=0))


def forget(tx: Tx, tenant: str, file_id: str) -> None:
    """Remove the row of a file."""
    tx.execute(file.delete().where(_key), {"key_tenant": tenant, "key_id": file_id})


def is_in_use(tx: Tx, tenant: str, file_id: str) -> bool:
    """Tell whether a batch that is at work reads a file."""
    statement = sa.select(sa.literal(1)).where(
        batch.c.tenant == tenant, batch.c.input_file_id == file_id, sa.text(ACTIVE)
    )
    return tx.execute(statement.limit(1)).first() is not None


def read_part(tx: Tx, tenant: str, file_id: str, start: int) -> tuple[int, bytes] | None:
    """Return the piece in which a place is, with where it begins; None if there is none."""
    row = tx.execute(_part_at, {"tenant": tenant, "file_id": file_id, "start": start}).first()
    return None if row is None else (int(row[0]), zlib.decompress(row[1]))


def read_lines(tx: Tx, tenant: str, batch_id: str, kind: FileKind, after: int) -> list[tuple[int, str]]:
    """Return the next lines that a batch has put out."""
    rows = tx.execute(_output[kind], {"tenant": tenant, "batch_id": batch_id, "after": after}).all()
    return [(number, text) for number, text in rows]


def remove_parts(tx: Tx, tenant: str, file_id: str, limit: int) -> int:
    """Remove some pieces of a file; how many."""
    of_file = (file_part.c.tenant == tenant) & (file_part.c.file_id == file_id)
    starts = tx.execute(sa.select(file_part.c.start).where(of_file).order_by(file_part.c.start).limit(limit)).scalars()
    found = starts.all()
    if found:
        tx.execute(file_part.delete().where(of_file, file_part.c.start <= found[-1]))
    return len(found)
