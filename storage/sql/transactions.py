"""How work gets a transaction: the one seam between the two databases.

`write` runs a function over a connection in a transaction that is synced to disk when it returns; `read` gives it a
consistent view. Database errors come out as `StoreUnavailable`; errors that the work raises on purpose roll its changes
back and come out as they are; `RowRefused` says that the database will not take a row, whatever is tried.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from domain.clock import Clock, Millis
from domain.errors import PromptqError, StoreUnavailable
from domain.redaction import redacted
from storage.sql.prepared import Prepared

T = TypeVar("T")


class RowRefused(PromptqError):
    """A row breaks a constraint or cannot be encoded: a repeat would fail the same way."""


class Tx:
    """A running transaction: a connection, and the store's clock."""

    def __init__(self, connection: sa.Connection, clock: Clock | None) -> None:
        self.connection = connection
        self.execute = connection.execute
        #: The driver's own connection, for `storage.sql.prepared`.
        self.driver: Any = connection.connection.driver_connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self._clock = clock

    def now(self) -> Millis:
        """Read the store's clock: call it after the locks are taken.

        Postgres: `clock_timestamp()`, for `now()` is when the transaction began, before it waited for locks.
        """
        if self._clock is not None:
            return self._clock()
        (now,) = _CLOCK.all(self, {})[0]
        return int(now)


_CLOCK = Prepared(sa.text("SELECT (extract(epoch FROM clock_timestamp()) * 1000)\\:\\:bigint"))


class Transactions(Protocol):
    """Gives work its transactions."""

    def write(self, name: str, work: Callable[[Tx], T]) -> T:
        """Run work in a transaction and commit it. The work may be run again from its start; `name` is for failpoints.

        Raises:
            StoreUnavailable: the database did not answer or could not write. If it broke in the commit, the change may
                have been kept.
            RowRefused: it will not take a row.
        """

    def write_soon(self, name: str, work: Callable[[Tx], T], *, waits: bool = False) -> Future[T]:
        """Have `write` done, and return at once, also while the database does not answer. Never raises.

        Work that may wait for what somebody else holds says so: it is not to stand in the way of the rest.
        """

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run work that only reads.

        Raises:
            StoreUnavailable: the database did not answer.
        """

    def close(self) -> None:
        """Finish what is waiting, then let go of threads and connections."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the database's errors into promptq's."""
    try:
        yield
    except (exc.IntegrityError, exc.DataError, exc.ProgrammingError, OverflowError, UnicodeError) as error:
        message = f"the database refused a row: {type(error.__cause__ or error).__name__}"
        raise RowRefused(message) from error
    except exc.SQLAlchemyError as error:
        raise unavailable(error) from error


def is_for_a_lock(error: BaseException) -> bool:
    """Tell whether a transaction was given up because somebody else held for too long what one part of it wanted."""
    cause = error.__cause__
    return isinstance(cause, exc.DBAPIError) and getattr(cause.orig, "sqlstate", None) in {"55P03", "40P01"}


def failed(error: BaseException) -> Future[Any]:
    """Make a future that has failed."""
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def unavailable(error: BaseException) -> StoreUnavailable:
    """Say that the database cannot be used now, with its own reason but without the statement or its values."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    return StoreUnavailable(f"the database is unavailable: {redacted(reason[0]) if reason else type(error).__name__}")
