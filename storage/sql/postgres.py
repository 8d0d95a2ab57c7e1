"""Postgres: a pool of connections, row locks, and a second try where the first could not have been kept."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from domain.clock import Clock
from domain.errors import StoreUnavailable
from storage.failpoints import failpoint
from storage.sql.transactions import Tx, failed, translated

T = TypeVar("T")

#: Serialization failure, deadlock: Postgres undid the transaction and asks for it again.
REPEATABLE = ("40001", "40P01")
MOST_TRIES = 5

#: A session row is held for a millisecond; who waits five seconds for one waits for a frozen process.
LOCK_TIMEOUT_MS = 5_000
#: A process that froze inside a transaction is cut off, so that its locks do not outlive its leases by much.
IDLE_IN_TRANSACTION_MS = 10_000
CONNECT_TIMEOUT_S = 5

KEPT = 16
"""Connections that stay open in quiet times."""

SOON_THREADS = 4
"""For what waits for nobody."""

WAITING_THREADS = 16
"""For what waits for sessions' rows that somebody else holds."""

#: Every statement here is meant to go by its index, row by row. A plan that is made while a table is nearly empty reads
#: it whole, or hashes it, and a prepared statement keeps that plan until the next ANALYZE: a worker that had started
#: with an empty database drained 350 jobs/s of 20,000 instead of 2,500. (JIT is for long queries; here it only costs.)
#: What has an order here has it from an index: asked to sort, it may fetch all jobs a session ever had for the first.
PLANS_OFF = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_sort", "jit")


class PostgresTransactions:
    """Transactions on a Postgres database."""

    def __init__(self, url: str, *, clock: Clock | None = None, connections: int = 32) -> None:
        """Make the pool; `connections` is how many it opens at most. Who finds none waits for a while."""
        self._clock = clock
        options = " ".join(
            f"-c {name}={value}"
            for name, value in (
                ("lock_timeout", LOCK_TIMEOUT_MS),
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_MS),
                ("synchronous_commit", "on"),
                ("application_name", "promptq"),
                *((name, "off") for name in PLANS_OFF),
            )
        )
        self._engine = sa.create_engine(
            url,
            pool_size=min(KEPT, connections),
            max_overflow=max(0, connections - KEPT),
            pool_timeout=CONNECT_TIMEOUT_S,
            pool_use_lifo=True,
            hide_parameters=True,  # what a traceback shows of a statement must not be what somebody said
            connect_args={
                "options": options,
                "connect_timeout": CONNECT_TIMEOUT_S,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,
            },
        )
        self._threads = ThreadPoolExecutor(SOON_THREADS, thread_name_prefix="promptq-postgres")
        self._waiting_threads = ThreadPoolExecutor(WAITING_THREADS, thread_name_prefix="promptq-postgres-waits")
        #: The same pool. What only reads begins no transaction, nor ends one: that took two of three round trips.
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    def write(self, name: str, work: Callable[[Tx], T]) -> T:
        """Run work in a transaction. One that Postgres undid (deadlock), or whose connection was stale, is repeated."""
        for attempt in range(1, MOST_TRIES + 1):
            committing = False
            try:
                with translated(), self._engine.connect() as connection:
                    with connection.begin():
                        result = work(Tx(connection, self._clock))
                        failpoint(f"store.before_commit.{name}")
                        committing = True
                    failpoint(f"store.after_commit.{name}")
                    return result
            except StoreUnavailable as error:
                if committing or attempt == MOST_TRIES or not _repeatable(error.__cause__, attempt):
                    raise
            time.sleep(random.uniform(0, 0.01 * attempt))
        raise AssertionError

    def write_soon(self, name: str, work: Callable[[Tx], T], *, waits: bool = False) -> Future[T]:
        """Run work in a transaction, in a thread; with more of it at once than there are threads, some waits."""
        try:
            return (self._waiting_threads if waits else self._threads).submit(self.write, name, work)
        except RuntimeError as error:
            return failed(StoreUnavailable(f"the store is closed, or has no thread left: {error}"))

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run work that only reads, each statement over its own snapshot."""
        for attempt in range(1, MOST_TRIES + 1):
            try:
                with translated(), self._reading.connect() as connection:
                    return work(Tx(connection, self._clock))
            except StoreUnavailable as error:
                if attempt == MOST_TRIES or not _repeatable(error.__cause__, attempt):
                    raise
        raise AssertionError

    def close(self) -> None:
        """Do what is waiting, and close the connections."""
        self._threads.shutdown()
        self._waiting_threads.shutdown()
        self._engine.dispose()


def _repeatable(cause: BaseException | None, attempt: int) -> bool:
    """Tell whether a transaction that failed before its commit deserves another try at once."""
    if not isinstance(cause, exc.DBAPIError):
        return False
    if getattr(cause.orig, "sqlstate", None) in REPEATABLE:
        return True
    # A pooled connection whose server has been restarted: the next one is made anew.
    return cause.connection_invalidated and attempt == 1
