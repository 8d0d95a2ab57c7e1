"""How the outcome of a line is noted: in the transaction that ends its job, so that counts are exact at any moment.

A batch's counts are kept in shards. A process adds to its own shard's row, which it holds until it commits: so those
that end lines at the same moment seldom wait for each other, the places that a shard gives are without gaps, and who
sees a shard's latest place sees all that came before it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from domain.batches import results
from domain.batches.batch import BatchState, LineState
from domain.batches.lines import LineName
from domain.batches.results import Result
from domain.jobs import Job, State
from domain.messages import Message, Usage
from storage.sql.batches.rows import TALLY_SUMS, USAGE
from storage.sql.batches.tables import WATCHED, batch, line
from storage.sql.prepared import Prepared
from storage.sql.prepared_rows import Inserts
from storage.sql.transactions import Tx

SHARDS = 16

Name = tuple[str, str]
"""A tenant and a batch ID."""

_insert_lines = Inserts(line)
_add = Prepared(
    sa.text(
        f"INSERT INTO tally (tenant, batch_id, shard, place, {', '.join(TALLY_SUMS)})"  # noqa: S608 - constants
        f" VALUES (:tenant, :batch_id, :shard, :place, {', '.join(f':{name}' for name in TALLY_SUMS)})"
        " ON CONFLICT (tenant, batch_id, shard) DO UPDATE SET place = tally.place + excluded.place, "
        + ", ".join(f"{name} = tally.{name} + excluded.{name}" for name in TALLY_SUMS)
        + " RETURNING place"
    )
)
_unwatch = Prepared(
    line.delete().where(
        line.c.tenant == sa.bindparam("of_tenant"),
        line.c.batch_id == sa.bindparam("of_batch"),
        line.c.number == sa.bindparam("of_number"),
        sa.text(WATCHED),
    )
)
_ending = Prepared(
    sa.select(batch.c.ending).where(batch.c.tenant == sa.bindparam("tenant"), batch.c.id == sa.bindparam("id"))
)


def note_ends(tx: Tx, jobs: Iterable[Job], messages: Iterable[Message]) -> None:
    """Note the outcomes of those among jobs that belong to batches and have just ended.

    Args:
        tx: the transaction that ends them.
        jobs: what it changed. None of them had ended before.
        messages: what it wrote, the jobs' answers among it.
    """
    ended = [job for job in jobs if job.line is not None and not job.state.is_open]
    if not ended:
        return
    answers = {message.job_id: message for message in messages}
    by_batch: dict[Name, list[Result]] = {}
    over: dict[Name, bool] = {}
    for job in ended:
        name = (job.tenant, job.batch_id or "")
        if job.state is State.CANCELLED and name not in over:
            over[name] = _is_over(tx, name)
        result = results.of_job(
            LineName.parse(job.line or ""), job, answers.get(job.id), batch_is_over=over.get(name, False)
        )
        by_batch.setdefault(name, []).append(result)
    for name in sorted(by_batch):
        note(tx, name, by_batch[name])


def note(tx: Tx, name: Name, found: Sequence[Result]) -> None:
    """Note the outcomes of lines of one batch that have none yet."""
    if not found:
        return
    tenant, batch_id = name
    shard = 0 if tx.is_sqlite else os.getpid() % SHARDS
    scope = {"tenant": tenant, "batch_id": batch_id, "shard": shard}
    (last,) = _add.all(tx, {**scope, "place": len(found), **_sums(found)})[0]
    place = int(last) - len(found)
    rows = [{**scope, "place": place + number, **_row(result)} for number, result in enumerate(found, start=1)]
    _insert_lines.run(tx, rows)


def watch(tx: Tx, name: Name, lines: Collection[tuple[LineName, str]]) -> None:
    """Note that somebody has to look at the jobs (by ID) of lines: their ends are not noted by themselves."""
    tenant, batch_id = name
    row = {"tenant": tenant, "batch_id": batch_id, "state": LineState.WATCHED.value, "text": None}
    none = {"shard": None, "place": None}
    _insert_lines.run(
        tx,
        [
            {**row, **none, "number": of.number, "custom_id": of.custom_id, "hash": of.hash, "job_id": job_id}
            for of, job_id in lines
        ],
    )


def settle_watched(tx: Tx, name: Name, found: Sequence[Result]) -> None:
    """Note the outcomes of watched lines. See `Batches.settle_watched`."""
    tenant, batch_id = name
    kept = []
    for result in found:
        scope = {"of_tenant": tenant, "of_batch": batch_id, "of_number": result.name.number}
        if _unwatch.run(tx, scope):
            kept.append(result)
    note(tx, name, kept)


def _is_over(tx: Tx, name: Name) -> bool:
    row = _ending.first(tx, {"tenant": name[0], "id": name[1]})
    return row is not None and row[0] == BatchState.EXPIRED.value


def _row(result: Result) -> dict[str, Any]:
    name = result.name
    return {
        "number": name.number,
        "custom_id": name.custom_id,
        "hash": name.hash,
        "state": result.state.value,
        "job_id": result.job_id,
        "text": result.text,
    }


def _sums(found: Sequence[Result]) -> Mapping[str, Any]:
    sums: dict[str, Any] = dict.fromkeys(TALLY_SUMS, 0)
    sums["cost"] = 0.0
    usage = Usage()
    for result in found:
        sums[result.state.value] += 1
        sums["output_size" if result.state is LineState.SUCCEEDED else "error_size"] += result.size
        if result.usage is not None:
            usage = usage.plus(result.usage)
        sums["cost"] += result.cost or 0.0
    sums.update({name: getattr(usage, name) for name in USAGE})
    return sums
