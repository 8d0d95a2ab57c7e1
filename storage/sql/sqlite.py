"""SQLite: one writer thread a process, which commits together what is waiting together.

SQLite has one writer at a time and syncs the disk at every commit. A thread for each writer spends its time waiting
for its turn (256 threads: 7,700 transactions/s, p99 1.6 s); one thread that takes all that waits, gives each a
savepoint and commits once, made 37,600/s with a p99 of 16 ms.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from domain.clock import Clock, system_clock
from domain.errors import StoreUnavailable
from storage.failpoints import failpoint
from storage.sql.transactions import Tx, translated, unavailable

T = TypeVar("T")

MOST_TOGETHER = 256
"""How many pieces of work share one commit at most: some 10 ms of work, so that none waits long for its neighbours."""

LOCK_WAIT_S = 5.0
"""How long a writer waits for another process's transaction before it says that the database is locked."""

SAFE_VERSION = (3, 51, 3)
"""Older libraries can, rarely, corrupt a WAL database when two processes reset the WAL at once.

Source: https://sqlite.org/wal.html, "The WAL-reset bug".
"""

log = logging.getLogger(__name__)


def sqlite_engine(url: str, *, pool_size: int) -> sa.Engine:
    """Make an engine whose connections begin transactions only where we say so."""
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_size=pool_size,
        max_overflow=64,
        hide_parameters=True,  # what a traceback shows of a statement must not be what somebody said
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": 0, "cached_statements": 256},
    )
    sa.event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    # Changing the journal mode needs the lock for a moment, also from a process that starts beside others.
    connection.execute(f"PRAGMA busy_timeout={int(LOCK_WAIT_S * 1000)}")
    connection.execute("PRAGMA journal_mode=WAL")
    # NORMAL syncs only at checkpoints: a power cut could take back an acknowledged prompt.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute("PRAGMA temp_store=MEMORY")


class SqliteTransactions:
    """Transactions on a SQLite file."""

    def __init__(self, url: str, *, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._engine = sqlite_engine(url, pool_size=8)
        self._path = Path(self._engine.url.database or "")
        self._waiting: deque[_Work] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._writer: threading.Thread | None = None

    def write(self, name: str, work: Callable[[Tx], T]) -> T:
        """Hand work to the writer thread and wait until its commit is on disk."""
        return self.write_soon(name, work).result()

    def write_soon(self, name: str, work: Callable[[Tx], T], *, waits: bool = False) -> Future[T]:  # noqa: ARG002
        """Hand work to the writer thread. Nobody waits there but for the file, which all do together."""
        item = _Work(name, work)
        with self._wake:
            if self._closing:
                item.fail(StoreUnavailable("the store is closed"))
                return item.future
            if self._writer is None:
                self._writer = threading.Thread(target=self._run, name="promptq-sqlite-writer", daemon=True)
                self._writer.start()
            self._waiting.append(item)
            self._wake.notify()
        return item.future

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run work over a snapshot. It waits for no writer."""
        with translated(), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            return work(Tx(connection, self._clock))

    def close(self) -> None:
        """Commit what is waiting and stop the writer."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._writer is not None:
            self._writer.join()
        self._engine.dispose()

    def _run(self) -> None:
        """Be the writer thread: until closed, take what waits and commit it together."""
        connection: sa.Connection | None = None
        while True:
            with self._wake:
                while not self._waiting and not self._closing:
                    self._wake.wait()
                if not self._waiting:
                    break
                together = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_TOGETHER))]
            try:
                with translated():
                    if connection is None:
                        connection = self._engine.connect()
                    self._commit_together(connection, together)
            except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it, whatever it is
                for item in together:
                    item.fail(unavailable(error) if isinstance(error, sqlite3.Error) else error)
                if connection is not None:
                    with contextlib.suppress(sa.exc.SQLAlchemyError, sqlite3.Error):
                        connection.invalidate()
                        connection.close()
                    connection = None
        if connection is not None:
            connection.close()

    def _commit_together(self, connection: sa.Connection, together: list[_Work]) -> None:
        raw = connection.connection.dbapi_connection
        assert isinstance(raw, sqlite3.Connection)  # noqa: S101 - for the type checker
        self._begin(raw)
        tx = Tx(connection, self._clock)
        for item in together:
            raw.execute("SAVEPOINT work")
            try:
                with translated():
                    item.result = item.work(tx)
                raw.execute("RELEASE work")
            except StoreUnavailable:
                raise
            except BaseException as error:  # noqa: BLE001 - it is the caller's, and is handed over
                raw.execute("ROLLBACK TO work")
                raw.execute("RELEASE work")
                item.error = error
        for item in together:
            failpoint(f"store.before_commit.{item.name}")
        try:
            raw.execute("COMMIT")
        except sqlite3.Error as error:
            raise unavailable(error) from error
        for item in together:
            failpoint(f"store.after_commit.{item.name}")
            item.settle()

    def _begin(self, raw: sqlite3.Connection) -> None:
        """Begin a transaction that holds the write lock from the start.

        SQLite's own busy handler sleeps up to 100 ms between tries; another process's commit takes one or two.
        """
        raw.execute("PRAGMA busy_timeout=0")
        deadline = time.monotonic() + LOCK_WAIT_S
        pause = 0.0002
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise unavailable(error) from error
                if time.monotonic() > deadline:
                    message = f"the database {self._path.name} is locked by another process for {LOCK_WAIT_S:.0f} s"
                    raise StoreUnavailable(message) from error
                time.sleep(pause)
                pause = min(pause * 1.5, 0.005)
            else:
                return


class _Work:
    """A piece of work on its way through the writer thread."""

    def __init__(self, name: str, work: Callable[[Tx], Any]) -> None:
        self.name = name
        self.work = work
        self.future: Future[Any] = Future()
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Tell the one who waits how it went. Call after the commit."""
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)

    def fail(self, error: BaseException) -> None:
        """Tell the one who waits that nothing was kept.

        Not its own error, if it has one: that may come from a neighbour's change, which is not kept either.
        """
        if not self.future.done():
            self.future.set_exception(error)
