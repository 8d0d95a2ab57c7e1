"""How files and batches go that have expired: a portion at a time, so that nobody waits long for it."""

from __future__ import annotations

import sqlalchemy as sa

from domain.batches.batch import Batch, File, LineState
from domain.clock import Millis
from storage.sql.batches import files
from storage.sql.batches.rows import BATCH_COLUMNS, FILE_COLUMNS, batch_of, file_of
from storage.sql.batches.tables import batch, file, line, tally
from storage.sql.transactions import Tx

PARTS_AT_ONCE = 16
IN_USE_MS: Millis = 10_000
"""How long until it is looked again whether a file that is gone is still read by a batch."""

_expired = (
    sa.select(*FILE_COLUMNS)
    .where(sa.text("expires IS NOT NULL"), file.c.expires <= sa.bindparam("now"))
    .order_by(file.c.expires)
    .limit(1)
)
_old = (
    sa.select(*BATCH_COLUMNS)
    .where(sa.text("ended_at IS NOT NULL"), batch.c.ended_at <= sa.bindparam("before"))
    .order_by(batch.c.ended_at)
    .limit(1)
)


def tidy(tx: Tx, *, retention_ms: Millis, limit: int) -> bool:
    """Remove some of what has expired. See `Batches.tidy`."""
    now = tx.now()
    row = tx.execute(_expired, {"now": now}).first()
    if row is not None:
        _remove_file(tx, file_of(row), now, limit)
        return True
    row = tx.execute(_old, {"before": now - retention_ms}).first()
    if row is not None:
        _remove_batch(tx, batch_of(row), limit)
        return True
    return False


def _remove_file(tx: Tx, of: File, now: Millis, limit: int) -> None:
    if of.state == "ready":
        of = of.evolve(state="gone")
        files.replace(tx, of)
    if of.kind == "stored":
        if files.is_in_use(tx, of.tenant, of.id):
            files.replace(tx, of.evolve(expires=now + IN_USE_MS))
            return
        if files.remove_parts(tx, of.tenant, of.id, PARTS_AT_ONCE):
            return
    elif _remove_texts(tx, of, limit):
        return
    files.forget(tx, of.tenant, of.id)


def _remove_texts(tx: Tx, of: File, limit: int) -> int:
    is_success = line.c.state == LineState.SUCCEEDED.value
    of_batch = (line.c.tenant == of.tenant) & (line.c.batch_id == of.batch_id)
    wanted = is_success if of.kind == "output" else ~is_success
    some = sa.select(line.c.number).where(of_batch, wanted, line.c.text.is_not(None)).order_by(line.c.number)
    numbers = tx.execute(some.limit(limit)).scalars().all()
    if numbers:
        within = line.c.number.between(numbers[0], numbers[-1])
        tx.execute(line.update().where(of_batch, wanted, within).values(text=None))
    return len(numbers)


def _remove_batch(tx: Tx, of: Batch, limit: int) -> None:
    of_batch = (line.c.tenant == of.tenant) & (line.c.batch_id == of.id)
    numbers = tx.execute(sa.select(line.c.number).where(of_batch).order_by(line.c.number).limit(limit)).scalars().all()
    if numbers:
        tx.execute(line.delete().where(of_batch, line.c.number <= numbers[-1]))
        return
    for file_id in (of.output_file_id, of.error_file_id):
        if file_id is not None:
            files.forget(tx, of.tenant, file_id)
    tx.execute(tally.delete().where(tally.c.tenant == of.tenant, tally.c.batch_id == of.id))
    tx.execute(batch.delete().where(batch.c.tenant == of.tenant, batch.c.id == of.id))
