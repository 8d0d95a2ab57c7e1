"""How batches are made, read and changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from domain.batches import life
from domain.batches.batch import Batch, LineState, Progress, Tally
from domain.batches.lines import LineName
from domain.errors import BatchNotFound
from domain.waiting import HELD
from storage.batches import KeptLine, Landmarks, Listing, Load, Name
from storage.sql.batches import files
from storage.sql.batches.rows import (
    BATCH_CHANGING,
    BATCH_COLUMNS,
    batch_of,
    batch_row,
    sum_of_tally,
    tally_of,
)
from storage.sql.batches.tables import ACTIVE, WATCHED, batch, line, tally
from storage.sql.prepared import Prepared
from storage.sql.schema import OF_BATCH, OPEN, READY, job
from storage.sql.transactions import Tx

_key = (batch.c.tenant == sa.bindparam("key_tenant")) & (batch.c.id == sa.bindparam("key_id"))
_one = sa.select(*BATCH_COLUMNS).where(_key)
_lock = _one.with_for_update()
_insert_if_free = {
    "sqlite": sqlite.insert(batch).on_conflict_do_nothing().returning(batch.c.id),
    "postgresql": postgresql.insert(batch).on_conflict_do_nothing().returning(batch.c.id),
}
_update = Prepared(batch.update().where(_key), BATCH_CHANGING)
_of_batch = (tally.c.tenant == sa.bindparam("key_tenant")) & (tally.c.batch_id == sa.bindparam("key_id"))
_tally = sa.select(*sum_of_tally).where(_of_batch)
_places = sa.select(tally.c.shard, tally.c.place).where(_of_batch)
_active = sa.select(*BATCH_COLUMNS).where(sa.text(ACTIVE)).order_by(batch.c.created)
_job_of_batch = (job.c.tenant == sa.bindparam("key_tenant")) & (job.c.batch_id == sa.bindparam("key_id"))
_states = (
    sa.select(job.c.state, sa.func.count()).where(_job_of_batch, sa.text(OF_BATCH), sa.text(OPEN)).group_by(job.c.state)
)
_line_of_batch = (line.c.tenant == sa.bindparam("key_tenant")) & (line.c.batch_id == sa.bindparam("key_id"))


def _counted(where: str, table: sa.Table, of: sa.ColumnElement[bool]) -> Prepared:
    found: sa.Select[tuple[object]] = sa.select(sa.literal_column("1")).select_from(table).where(of, sa.text(where))
    return Prepared(sa.select(sa.func.count()).select_from(found.limit(sa.bindparam("most")).subquery()))


_ready_count = _counted(f"{OF_BATCH} AND {READY}", job, _job_of_batch)
_held_count = _counted(f"{OF_BATCH} AND {READY}", job, _job_of_batch & (job.c.ready_at == HELD))
_open_count = _counted(f"{OF_BATCH} AND {OPEN}", job, _job_of_batch)
_watched_count = _counted(WATCHED, line, _line_of_batch)
_numbers = sa.select(line.c.number).where(
    _line_of_batch, line.c.number > sa.bindparam("low"), line.c.number <= sa.bindparam("high")
)
_by_name = sa.select(line.c.number, line.c.custom_id, line.c.hash, line.c.state, line.c.job_id, line.c.text).where(
    _line_of_batch, line.c.custom_id.in_(sa.bindparam("names", expanding=True))
)
_watched = (
    sa.select(line.c.number, line.c.hash, line.c.custom_id, line.c.job_id)
    .where(_line_of_batch, sa.text(WATCHED), line.c.number > sa.bindparam("after"))
    .order_by(line.c.number)
    .limit(sa.bindparam("most"))
)
_completed = (
    sa.select(line.c.text)
    .where(
        _line_of_batch,
        line.c.shard == sa.bindparam("shard"),
        line.c.place > sa.bindparam("since"),
        line.c.place <= sa.bindparam("until"),
        line.c.text.is_not(None),
    )
    .order_by(line.c.place)
)


def create(tx: Tx, made: Batch) -> tuple[Batch, bool]:
    """Keep a new batch or return the one that is there. See `Batches.create`."""
    found = _find(tx, made.tenant, made.id, lock=True)
    if found is None:
        file = files.load(tx, made.tenant, made.request.input_file_id)
        now = tx.now()
        made = made.evolve(
            input_name=file.name, input_digest=file.digest, created=now, expires=now + made.request.window_ms
        )
        if tx.execute(_insert_if_free[tx.connection.dialect.name], batch_row(made)).first() is not None:
            return made, True
        found = load(tx, made.tenant, made.id, lock=True)
    digest = found.input_digest
    if made.request.input_file_id != found.request.input_file_id:
        digest = files.load(tx, made.tenant, made.request.input_file_id).digest
    fields = life.differing(found, made.evolve(input_digest=digest))
    if fields:
        raise life.BatchDiffers(found.id, fields)
    return found, False


def load(tx: Tx, tenant: str, batch_id: str, *, lock: bool = False) -> Batch:
    """Load a batch.

    Raises:
        BatchNotFound: there is none.
    """
    found = _find(tx, tenant, batch_id, lock=lock)
    if found is None:
        raise BatchNotFound(batch_id)
    return found


def _find(tx: Tx, tenant: str, batch_id: str, *, lock: bool) -> Batch | None:
    row = tx.execute(_lock if lock else _one, {"key_tenant": tenant, "key_id": batch_id}).first()
    return None if row is None else batch_of(row)


def save(tx: Tx, value: Batch) -> None:
    """Update the row of a batch that is locked."""
    row = batch_row(value)
    change: dict[str, Any] = {name: row[name] for name in BATCH_CHANGING}
    _update.run(tx, {**change, "key_tenant": value.tenant, "key_id": value.id})


def change(tx: Tx, tenant: str, batch_id: str, decide: life.Decide) -> Batch:
    """Change a batch as is decided. See `Batches.change`."""
    found = load(tx, tenant, batch_id, lock=True)
    now = tx.now()
    changed = decide(found, now)
    if changed is not found:
        save(tx, changed)
        _let_input_go(tx, changed)
    return changed


def _let_input_go(tx: Tx, ended: Batch) -> None:
    """Take away the input of a batch that has ended, if it holds the text of ephemeral lines."""
    if not ended.state.is_active and ended.has_ephemeral:
        file = files.find(tx, ended.tenant, ended.request.input_file_id)
        if file is not None and file.state == "ready":
            files.replace(tx, file.evolve(state="gone", expires=0))


def settle(tx: Tx, name: Name) -> Batch | None:
    """End a batch if all its lines have their outcome. See `Batches.settle`."""
    tenant, batch_id = name
    found = load(tx, tenant, batch_id, lock=True)
    counted = tally_sum(tx, name)
    now = tx.now()
    ended = life.settle(found, counted, now)
    if ended is found:
        return None
    save(tx, ended)
    for file in life.outputs(ended, counted, now):
        files.insert(tx, file)
    _let_input_go(tx, ended)
    return ended


def retry(tx: Tx, tenant: str, batch_id: str) -> Batch:
    """Run again what did not succeed. See `Batches.retry`."""
    found = load(tx, tenant, batch_id, lock=True)
    again = life.retry(found, tx.now())
    counted = tally_sum(tx, (tenant, batch_id))
    if counted.succeeded == found.total and found.total:
        raise life.BatchNotReady(f"batch {batch_id} has no lines that did not succeed")
    source = files.find(tx, tenant, found.request.input_file_id)
    if source is None or source.state != "ready":
        raise life.BatchNotReady(f"the input file of batch {batch_id} is gone")
    key = {"key_tenant": tenant, "key_id": batch_id}
    tx.execute(line.delete().where(_line_of_batch, line.c.state != LineState.SUCCEEDED.value), key)
    lost = dict.fromkeys(("failed", "cancelled", "expired", "error_size"), 0)
    tx.execute(tally.update().where(_of_batch).values(**lost), key)
    for file_id in (found.output_file_id, found.error_file_id):
        if file_id is not None:
            files.forget(tx, tenant, file_id)
    save(tx, again)
    return again


def tally_sum(tx: Tx, name: Name) -> Tally:
    """Sum up what has become of a batch's lines."""
    row = tx.execute(_tally, {"key_tenant": name[0], "key_id": name[1]}).one()
    return tally_of(row)


def progress_of(tx: Tx, found: Batch) -> Progress:
    """Count what has become of a batch's lines. Postgres: ends may come between its statements."""
    key = {"key_tenant": found.tenant, "key_id": found.id}
    opened = running = 0
    if found.state.is_active:
        counts = {str(state): int(count) for state, count in tx.execute(_states, key).all()}
        watched = _watched_count.all(tx, {**key, "most": found.total})[0][0]
        opened, running = sum(counts.values()) + watched, counts.get("running", 0)
    return Progress(found, tally_sum(tx, (found.tenant, found.id)), opened, running)


def listed(tx: Tx, tenant: str, query: Listing) -> list[Batch]:
    """List batches. See `Batches.listed`."""
    statement = sa.select(*BATCH_COLUMNS).where(batch.c.tenant == tenant)
    if query.after is not None:
        last = load(tx, tenant, query.after)
        seen = sa.tuple_(sa.literal(last.created), sa.literal(last.id))
        statement = statement.where(sa.tuple_(batch.c.created, batch.c.id) < seen)
    statement = statement.order_by(batch.c.created.desc(), batch.c.id.desc()).limit(query.limit)
    return [batch_of(row) for row in tx.execute(statement).all()]


def active(tx: Tx) -> list[Batch]:
    """Load the batches that have something to be done."""
    return [batch_of(row) for row in tx.execute(_active).all()]


def load_of(tx: Tx, of: Batch, most: int) -> Load:
    """Count what a batch has under way. See `Batches.load`."""
    scope = {"key_tenant": of.tenant, "key_id": of.id, "most": most}
    ready = _ready_count.all(tx, scope)[0][0]
    held = _held_count.all(tx, {**scope, "most": 1})[0][0]
    opened = _open_count.all(tx, scope)[0][0] + _watched_count.all(tx, scope)[0][0]
    return Load(ready, held, opened, tx.now())


def kept_lines(tx: Tx, name: Name, numbers: tuple[int, int]) -> set[int]:
    """Return which lines have a row. See `Batches.kept_lines`."""
    scope = {"key_tenant": name[0], "key_id": name[1], "low": numbers[0], "high": numbers[1]}
    return set(tx.execute(_numbers, scope).scalars().all())


def lines_by_name(tx: Tx, name: Name, custom_ids: Collection[str]) -> dict[str, KeptLine]:
    """Return what is kept of lines. See `Batches.lines_by_name`."""
    rows = tx.execute(_by_name, {"key_tenant": name[0], "key_id": name[1], "names": list(custom_ids)}).all()
    found = {}
    for number, custom_id, hash_, state, job_id, text in rows:
        kept = KeptLine(number, custom_id, hash_, LineState(state), job_id, text)
        if custom_id not in found or kept.state is LineState.SUCCEEDED:  # one that repeats another's name has failed
            found[custom_id] = kept
    return found


def watched(tx: Tx, name: Name, after: int, limit: int) -> list[tuple[LineName, str]]:
    """Return watched lines. See `Batches.watched`."""
    scope = {"key_tenant": name[0], "key_id": name[1], "after": after, "most": limit}
    rows = tx.execute(_watched, scope).all()
    return [(LineName(number, hash_, custom_id), job_id) for number, hash_, custom_id, job_id in rows]


def landmarks(tx: Tx, name: Name) -> Landmarks:
    """Tell how far the order of completion has come. See `Batches.landmarks`."""
    rows = tx.execute(_places, {"key_tenant": name[0], "key_id": name[1]}).all()
    return Landmarks({int(shard): int(place) for shard, place in rows})


def completed(tx: Tx, name: Name, since: Landmarks, until: Landmarks, limit: int) -> list[str]:
    """Return lines in the order of their completion. See `Batches.completed`."""
    found: list[str] = []
    for shard, place in sorted(until.places.items()):
        scope = {"key_tenant": name[0], "key_id": name[1], "shard": shard, "until": place}
        scope["since"] = since.places.get(shard, 0)
        found += tx.execute(_completed.limit(limit), scope).scalars().all()
    return found
