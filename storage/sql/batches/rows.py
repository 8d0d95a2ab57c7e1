"""Records of files and batches to rows and back."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from domain.batches.batch import Batch, BatchRequest, BatchState, File, LineError, Tally
from domain.batches.lines import Place
from domain.batches.reading import Defaults
from domain.messages import Usage
from domain.record import Record
from storage.sql.batches.tables import batch, file, tally
from storage.sql.rows import Row, dumps

FILE_COLUMNS = tuple(file.c)
BATCH_COLUMNS = tuple(batch.c)

_FILE_NAMES = tuple(column.name for column in FILE_COLUMNS)
_BATCH_NAMES = tuple(column.name for column in BATCH_COLUMNS)
_decode = msgspec.json.decode

#: What changes of a batch.
BATCH_CHANGING = tuple(
    name
    for name in _BATCH_NAMES
    if name not in {"tenant", "id", "request", "input_file_id", "input_name", "input_digest", "created"}
)

COUNTS = ("succeeded", "failed", "cancelled", "expired")
USAGE = ("input", "output", "reasoning", "cache_read", "cache_write")
SIZES = ("output_size", "error_size")
TALLY_SUMS = (*COUNTS, *USAGE, "cost", *SIZES)

sum_of_tally = [sa.func.coalesce(sa.func.sum(tally.c[name]), 0) for name in TALLY_SUMS]


def file_row(value: File) -> dict[str, Any]:
    """Write a file as its row."""
    return dict(value.__dict__)


def file_of(row: Row) -> File:
    """Read a file from its row, in the order of `FILE_COLUMNS`."""
    return File.revive(dict(zip(_FILE_NAMES, row, strict=True)))


def batch_row(value: Batch) -> dict[str, Any]:
    """Write a batch as its row."""
    row = dict(value.__dict__)
    place: Place = row.pop("place")
    row["place_number"], row["place_offset"] = place.number, place.offset
    row["input_file_id"] = value.request.input_file_id
    row["request"] = dumps(_plain(value.request))
    row["errors"] = dumps([error.__dict__ for error in value.errors])
    row["state"] = value.state.value
    row["ending"] = None if value.ending is None else value.ending.value
    return row


def batch_of(row: Row) -> Batch:
    """Read a batch from its row, in the order of `BATCH_COLUMNS`."""
    fields = dict(zip(_BATCH_NAMES, row, strict=True))
    del fields["input_file_id"]
    request = _decode(fields["request"])
    request["defaults"] = Defaults.revive(request["defaults"])
    fields["request"] = BatchRequest.revive(request)
    fields["place"] = Place(fields.pop("place_number"), fields.pop("place_offset"))
    fields["errors"] = tuple(LineError.revive(error) for error in _decode(fields["errors"]))
    fields["state"] = BatchState(fields["state"])
    fields["ending"] = None if fields["ending"] is None else BatchState(fields["ending"])
    fields["paused"], fields["has_ephemeral"] = bool(fields["paused"]), bool(fields["has_ephemeral"])
    return Batch.revive(fields)


def tally_of(row: Row) -> Tally:
    """Read a tally from its sums, in the order of `TALLY_SUMS`."""
    sums = dict(zip(TALLY_SUMS, row, strict=True))
    counts = {name: int(sums[name]) for name in (*COUNTS, *SIZES)}
    return Tally(usage=Usage(*(int(sums[name]) for name in USAGE)), cost=float(sums["cost"]), **counts)


def _plain(value: Record) -> dict[str, Any]:
    return {name: _plain(each) if isinstance(each, Record) else each for name, each in value.__dict__.items()}
