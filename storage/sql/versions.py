"""Which version of the schema a database has, and which one this promptq wants."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import cache
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from domain.errors import StoreIncompatible, StoreUnavailable
from storage.sql.transactions import Transactions, Tx, failed

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent.parent / "migrations"


def alembic_config() -> Config:
    """Return Alembic's configuration; it has no file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


@cache
def head_revision() -> str:
    """Return the revision that this promptq wants."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        message = f"no migrations in {MIGRATIONS}"
        raise StoreIncompatible(message)
    return head


def is_known(revision: str) -> bool:
    """Tell whether a revision is this promptq's or an earlier one's."""
    return revision in {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}


def revision_of(connection: sa.Connection) -> str | None:
    """Return the revision of a database; None if it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def check_revision(tx: Tx) -> None:
    """Return if the database is of this promptq's version.

    Raises:
        StoreIncompatible: it is empty, older or newer.
    """
    found, wanted = revision_of(tx.connection), head_revision()
    if found != wanted:
        message = f"the database is at revision {found or 'none'}, this promptq wants {wanted}: run 'promptq migrate'"
        raise StoreIncompatible(message)


class CheckedTransactions:
    """Transactions on a database of this promptq's version: nothing else is read or written until it has been seen.

    It is looked at before the first transaction, and not when the database is opened: that may be away then.
    """

    def __init__(self, transactions: Transactions, *, file: Path | None = None) -> None:
        """Check these; `file`, if the database is one, must be there: it is `migrate` that makes it."""
        self._transactions = transactions
        self._file = file
        self._is_checked = False
        #: Threads of writes that came before the look.
        self._first: list[threading.Thread] = []

    def write(self, name: str, work: Callable[[Tx], T]) -> T:
        """See `Transactions.write`. Raises `StoreIncompatible` too."""
        self._check()
        return self._transactions.write(name, work)

    def write_soon(self, name: str, work: Callable[[Tx], T], *, waits: bool = False) -> Future[T]:
        """See `Transactions.write_soon`. Its future may fail with `StoreIncompatible` too."""
        if self._is_checked:
            return self._transactions.write_soon(name, work, waits=waits)
        answer: Future[T] = Future()
        answer.set_running_or_notify_cancel()
        thread = threading.Thread(target=self._write_into, args=(answer, name, work), name="promptq-first-write")
        self._first = [each for each in self._first if each.is_alive()] + [thread]
        try:
            thread.start()
        except RuntimeError as error:
            return failed(StoreUnavailable(f"there is no thread left: {error}"))
        return answer

    def _write_into(self, answer: Future[T], name: str, work: Callable[[Tx], T]) -> None:
        try:
            result = self.write(name, work)
        except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
            answer.set_exception(error)
        else:
            answer.set_result(result)

    def read(self, work: Callable[[Tx], T]) -> T:
        """See `Transactions.read`. Raises `StoreIncompatible` too."""
        self._check()
        return self._transactions.read(work)

    def close(self) -> None:
        """See `Transactions.close`."""
        for thread in self._first:
            if thread.is_alive():
                thread.join()
        self._transactions.close()

    def _check(self) -> None:
        if not self._is_checked:
            if self._file is not None and not self._file.exists():
                message = (
                    f"there is no database {self._file}: run 'promptq migrate' to make it, "
                    "or say by PROMPTQ_DATA_DIR or PROMPTQ_DATABASE_URL where it is"
                )
                raise StoreIncompatible(message)
            self._transactions.read(check_revision)
            self._is_checked = True
