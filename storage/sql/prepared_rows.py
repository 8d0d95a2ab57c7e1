"""Statements that write any number of rows: all that a group of prompts changes in a table.

SQLite is given row after row. Postgres is given all of them as one JSON value: one statement, one round trip, and a
third less of what each row costs the database and the driver (64 updates by key: 31 µs a row).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from storage.sql.prepared import Parameters, Prepared
from storage.sql.transactions import Tx

LARGEST = 16 * 1024 * 1024
"""Characters of one JSON value of several rows."""

_POSTGRES: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_key = itemgetter("key_tenant", "key_id")
_tenant = itemgetter("key_tenant")


class Inserts:
    """Inserts rows into a table."""

    def __init__(self, table: sa.Table, *, otherwise: str = "") -> None:
        """Take the table; `otherwise` is what Postgres is told besides, for `all`."""
        names = [column.name for column in table.c]
        listed = ", ".join(names)
        self._one = Prepared(table.insert(), names)
        values = f"SELECT {listed} FROM {_recordset(table, names)}"  # noqa: S608 - our schema
        self._together = Prepared(sa.text(f"INSERT INTO {table.name} ({listed}) {values} {otherwise}"))

    def run(self, tx: Tx, rows: Sequence[Parameters]) -> None:
        """Insert the rows, in this order."""
        if not rows:
            return
        if tx.is_sqlite:
            self._one.each(tx, rows)
            return
        for _, text in _portions(rows):
            self._together.run(tx, {"rows": text})

    def all(self, tx: Tx, rows: Sequence[Parameters]) -> list[Sequence[Any]]:
        """Insert the rows, on Postgres; return what its statement returns."""
        return [row for _, text in _portions(rows) for row in self._together.all(tx, {"rows": text})]


class Updates:
    """Updates rows of a table by `key_tenant` and `key_id`."""

    def __init__(self, table: sa.Table, sets: Sequence[str]) -> None:
        """Take the table, and which columns are written."""
        by_key = (table.c.tenant == sa.bindparam("key_tenant")) & (table.c.id == sa.bindparam("key_id"))
        self._one = Prepared(table.update().where(by_key), [*sets])
        values = ", ".join(f"{name} = v.{name}" for name in sets)
        # The list says once more what the rows say: without it Postgres, where it takes the table for small, goes
        # through all of it and looks for each row among those given.
        text = (
            f"UPDATE {table.name} SET {values} FROM {_recordset(table, [*sets, 'id'], key_id='id')}"  # noqa: S608
            f" WHERE {table.name}.tenant = :key_tenant AND {table.name}.id = v.key_id AND {table.name}.id IN :ids"
        )
        self._together = Prepared(sa.text(text).bindparams(sa.bindparam("ids", expanding=True)))

    def run(self, tx: Tx, rows: Sequence[Parameters]) -> None:
        """Update the rows, in the order of their keys: so nobody waits in a circle. No key may come twice."""
        if tx.is_sqlite:
            if rows:
                self._one.each(tx, rows)
            return
        for tenant, group in groupby(sorted(rows, key=_key), _tenant):
            for portion, text in _portions(list(group)):
                ids = [row["key_id"] for row in portion]
                self._together.run(tx, {"rows": text, "key_tenant": tenant, "ids": ids})


def _portions(rows: Sequence[Parameters]) -> Iterator[tuple[Sequence[Parameters], str]]:
    """Write rows as JSON in portions that Postgres takes: it refuses values of a gigabyte, and holds several copies."""
    if not rows:
        return
    text = as_json(rows)
    if len(text) <= LARGEST or len(rows) == 1:
        yield rows, text
        return
    half = len(rows) // 2
    yield from _portions(rows[:half])
    yield from _portions(rows[half:])


def as_json(rows: Sequence[Parameters]) -> str:
    """Write rows as `json_to_recordset` takes them."""
    return msgspec.json.encode(rows).decode()


def _recordset(table: sa.Table, names: Sequence[str], **renamed: str) -> str:
    """Name the rows given, with the types of the table's columns; `renamed` are columns by other names."""
    given = {name: name for name in names if name not in renamed.values()} | renamed
    fields = [f"{name} {_type_of(table.c[column])}" for name, column in given.items()]
    return f"json_to_recordset(CAST(:rows AS json)) AS v({', '.join(fields)})"


def _type_of(column: sa.Column[Any]) -> str:
    return column.type.compile(_POSTGRES).partition(" COLLATE")[0]
