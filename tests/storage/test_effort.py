"""What an exchange makes the database read depends on what it hands in and takes, not on what waits behind that."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from domain.jobs import Finished
from storage.sql import exchange
from storage.sql.store import SqlStore
from storage.sql.transactions import Tx
from tests.storage.actors import LEASE_MS, Worker, admit, finished
from tests.support.keepers import Keeper

SESSIONS = 10


@pytest.mark.parametrize("keeper", ["sqlite"], indirect=True)
def test_an_exchange_reads_as_much_whether_one_prompt_or_forty_wait_in_each_session(store: SqlStore) -> None:
    few = effort_of_an_exchange(store, "few", waiting=1)
    many = effort_of_an_exchange(store, "many", waiting=40)
    assert many < 2 * few


@pytest.mark.parametrize("learn", ["ANALYZE", "VACUUM ANALYZE"])
@pytest.mark.parametrize("known", [None, 0, 5, 50, 400])
@pytest.mark.parametrize("keeper", ["postgres"], indirect=True)
def test_so_it_does_on_postgres_whatever_that_knew_of_its_tables_and_when(
    keeper: Keeper, store: SqlStore, known: int | None, learn: str
) -> None:
    engine = sa.create_engine(keeper.url or "", poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for table in ("session", "message", "job"):  # nothing but this test is to teach it
            connection.exec_driver_sql(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
        few = effort_of_an_exchange(store, "few", waiting=1)
        many = effort_of_an_exchange(
            store, "many", waiting=40, learn=lambda admitted: admitted == known and connection.exec_driver_sql(learn)
        )
    assert many < 2 * few


@pytest.mark.parametrize("keeper", ["postgres"], indirect=True)
def test_postgres_learns_early_how_its_rows_are_spread(keeper: Keeper, store: SqlStore) -> None:
    with sa.create_engine(keeper.url or "", poolclass=sa.NullPool).begin() as connection:
        connection.execute(sa.text("TRUNCATE session, message, job"))  # now it knows nothing of them
    for number in range(2):
        admit(store, f"ses_{number}")
    store.reconcile(limit=10)
    assert unlearned(keeper) == {"session", "message", "job"}, "two rows teach nothing"
    for number in range(400):
        admit(store, f"ses_{number}")
    store.reconcile(limit=10)
    assert not unlearned(keeper)


def unlearned(keeper: Keeper) -> set[str]:
    """The tables that Postgres has never looked through."""
    with sa.create_engine(keeper.url or "", poolclass=sa.NullPool).begin() as connection:
        found = connection.execute(sa.text("SELECT relname FROM pg_class WHERE reltuples < 0 AND relkind = 'r'"))
        return set(found.scalars()) & {"session", "message", "job"}


def effort_of_an_exchange(
    store: SqlStore, name: str, *, waiting: int, learn: Callable[[int], object] = lambda _: None
) -> int:
    """Fill sessions, claim their heads, exchange these for the next, and empty them; how much the exchange read.

    `learn` is called before each prompt with the number of those that are in already.
    """
    for place in range(SESSIONS * (1 + waiting)):
        learn(place)
        admit(store, f"ses_{name}_{place % SESSIONS}")
    worker = Worker(store)
    ends = [finished(each.job) for each in worker.claim()]
    assert len(ends) == SESSIONS
    effort = store._transactions.write("exchange", lambda tx: counted(tx, ends))
    for number in range(SESSIONS):
        store.delete_session("default", f"ses_{name}_{number}")
    return effort


def counted(tx: Tx, ends: list[Finished]) -> int:
    """Exchange, and count the rows that Postgres fetches, or the steps that SQLite takes."""
    count = rows_of_postgres if tx.connection.dialect.name == "postgresql" else steps_of_sqlite
    return count(tx, lambda: exchanged(tx, ends))


def exchanged(tx: Tx, ends: list[Finished]) -> None:
    got = exchange.exchange(tx, "w1", ends, slots=SESSIONS, lease_ms=LEASE_MS, suspects=1, jitter=lambda: 0.0)
    assert len(got.taken) == len(got.claimed) == SESSIONS


def rows_of_postgres(tx: Tx, work: Callable[[], None]) -> int:
    fetched = "SELECT sum(coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0))::int FROM pg_stat_xact_user_tables"
    before: int = tx.execute(sa.text(fetched)).scalar_one()
    work()
    after: int = tx.execute(sa.text(fetched)).scalar_one()
    return after - before


def steps_of_sqlite(tx: Tx, work: Callable[[], None]) -> int:
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    tx.driver.set_progress_handler(step, 1)
    work()
    tx.driver.set_progress_handler(None, 0)
    return steps
