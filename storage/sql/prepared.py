"""Statements that are compiled once and sent as they are.

SQLAlchemy spends some 40 µs on each execution of a statement that it has compiled before, and 8 µs on each row of
`executemany`: with five statements a prompt that was more than the database itself took. These are written with
SQLAlchemy like all others, compiled by it for the database at hand at their first use, and from then on handed to the
driver. Errors come out as SQLAlchemy's own would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NoReturn, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy import exc

if TYPE_CHECKING:
    from storage.sql.transactions import Tx

Parameters = Mapping[str, Any]

#: How SQLAlchemy writes `IN` with a list that is filled in at each execution.
_LIST = re.compile(r"IN \(__\[POSTCOMPILE_(\w+)[^\]]*\]\)")


class Prepared:
    """One statement."""

    def __init__(self, statement: sa.sql.ClauseElement, sets: Sequence[str] | None = None) -> None:
        """Take a statement; `sets` names the columns that an insert or update writes."""
        self._statement = statement
        self._sets = list(sets) if sets is not None else None
        self._by_dialect: dict[str, _Sendable] = {}

    def all(self, tx: Tx, parameters: Parameters) -> list[Sequence[Any]]:
        """Execute it; return all rows."""
        rows: list[Sequence[Any]] = self._sendable(tx).send(tx, parameters, _fetch_all)
        return rows

    def first(self, tx: Tx, parameters: Parameters) -> Sequence[Any] | None:
        """Execute it; return its first row, or None."""
        rows = self.all(tx, parameters)
        return rows[0] if rows else None

    def run(self, tx: Tx, parameters: Parameters) -> int:
        """Execute it; return how many rows it wrote."""
        count: int = self._sendable(tx).send(tx, parameters, _row_count)
        return count

    def each(self, tx: Tx, rows: Sequence[Parameters]) -> None:
        """Execute it once for each."""
        self._sendable(tx).send_each(tx, rows)

    def _sendable(self, tx: Tx) -> _Sendable:
        dialect = tx.connection.dialect
        found = self._by_dialect.get(dialect.name)
        if found is None:
            found = self._by_dialect[dialect.name] = _Sendable(self._statement, self._sets, dialect)
        return found


class _Sendable:
    """A statement's text for one database, and how its parameters are laid out there."""

    def __init__(self, statement: sa.sql.ClauseElement, sets: list[str] | None, dialect: sa.Dialect) -> None:
        compiled = cast("Any", statement.compile(dialect=dialect, column_keys=sets))
        #: Names of bound lists. One value carries a list, so that the text is the same for any length.
        self._lists: list[str] = _LIST.findall(compiled.string)
        self._is_sqlite = dialect.name == "sqlite"
        as_one = "IN (SELECT value FROM json_each(?))" if self._is_sqlite else r"= ANY(%(\1)s)"
        self._text: str = _LIST.sub(as_one, compiled.string)
        constants = compiled.construct_params(_check=False)
        self._constants = {name: value for name, value in constants.items() if value is not None}
        self._places: list[str] | None = list(compiled.positiontup) if compiled.positional else None
        self._lay_out = itemgetter(*self._places) if self._places and len(self._places) > 1 else None

    def send(self, tx: Tx, parameters: Parameters, take: Callable[[Any], Any]) -> Any:
        """Execute it, and take what is wanted from the cursor."""
        cursor = tx.driver.cursor()
        try:
            cursor.execute(self._text, self._arguments(parameters))
            taken = take(cursor)
        except Exception as error:  # noqa: BLE001 - only the driver's own are handled there
            _fail(tx, error, cursor)
        cursor.close()
        return taken

    def send_each(self, tx: Tx, rows: Sequence[Parameters]) -> None:
        cursor = tx.driver.cursor()
        try:
            cursor.executemany(self._text, [self._arguments(row) for row in rows])
        except Exception as error:  # noqa: BLE001 - only the driver's own are handled there
            _fail(tx, error, cursor)
        cursor.close()

    def _arguments(self, parameters: Parameters) -> Any:
        if self._constants:
            parameters = {**self._constants, **parameters}
        if self._lists and self._is_sqlite:
            parameters = {
                **parameters,
                **{name: msgspec.json.encode(parameters[name]).decode() for name in self._lists},
            }
        if self._places is None:
            return parameters
        if self._lay_out is not None:
            return self._lay_out(parameters)
        return tuple(parameters[name] for name in self._places)


def _fetch_all(cursor: Any) -> Any:
    return cursor.fetchall()


def _row_count(cursor: Any) -> Any:
    return cursor.rowcount


def _fail(tx: Tx, error: Exception, cursor: Any) -> NoReturn:
    """Raise what SQLAlchemy would have raised, and drop connections that are known to be lost, as it would have."""
    connection = tx.connection
    dialect = connection.dialect
    driver_errors = cast("Any", dialect).loaded_dbapi.Error
    if not isinstance(error, driver_errors):
        raise error
    lost = dialect.is_disconnect(cast("Any", error), cast("Any", tx.driver), cursor)
    if lost:
        connection.invalidate(error)
        connection.engine.dispose(close=False)
    raise exc.DBAPIError.instance(
        None, None, cast("Any", error), driver_errors, connection_invalidated=lost, dialect=dialect
    ) from error
