"""How a database comes to its schema, and what happens when it cannot."""

import sqlite3
import subprocess
import sys
import threading
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from domain.errors import StoreIncompatible, StoreUnavailable
from storage.sql import open_store
from storage.sql.migrate import upgrade
from storage.sql.queue import insert_messages
from storage.sql.schema import metadata
from storage.sql.transactions import RowRefused, Tx
from storage.sql.versions import head_revision
from tests.storage.actors import admit
from tests.support.commands import clean_environment
from tests.support.keepers import migrated, settings_of


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database in which there is nothing."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'promptq.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


def test_the_migrations_make_the_tables_and_indexes_that_the_queries_were_written_for(empty: str) -> None:
    engine = sa.create_engine(migrated(empty), poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        wanted = {index.name for table in metadata.sorted_tables for index in table.indexes}
        made = {
            index["name"]
            for table in metadata.sorted_tables
            for index in sa.inspect(connection).get_indexes(table.name)
        }
    assert wanted <= made


def test_migrating_again_changes_nothing(empty: str) -> None:
    assert upgrade(settings_of(empty)) == (None, head_revision())
    assert upgrade(settings_of(empty)) == (head_revision(), head_revision())


def test_many_processes_that_migrate_at_once_end_with_one_schema(empty: str) -> None:
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(upgrade(settings_of(empty))[1])
        except Exception as error:  # noqa: BLE001 - it is looked at below
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [head_revision()] * 4


def test_a_migration_that_is_killed_half_way_has_not_happened_and_can_be_run_again(empty: str) -> None:
    environment = clean_environment(DATABASE_URL=empty, FAILPOINTS="migrate.before_commit=kill")
    died = subprocess.run([sys.executable, "-m", "storage.sql.migrate"], env=environment, check=False, timeout=60)
    assert died.returncode == -9
    store = open_store(settings_of(empty))
    with pytest.raises(StoreIncompatible, match="promptq migrate"):
        store.ready()
    store.close()
    assert upgrade(settings_of(empty)) == (None, head_revision())


def test_a_database_of_a_newer_version_is_refused_and_left_alone(empty: str) -> None:
    engine = sa.create_engine(migrated(empty), poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreIncompatible, match=r"9999.*newer"):
        upgrade(settings_of(empty))
    store = open_store(settings_of(empty))
    for call in (store.ready, lambda: admit(store), lambda: store.session("default", "ses_a")):
        with pytest.raises(StoreIncompatible, match="9999"):
            call()
    store.close()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "9999"


def test_a_database_that_was_never_migrated_takes_nothing_until_it_is(empty: str) -> None:
    store = open_store(settings_of(empty))
    with pytest.raises(StoreIncompatible, match="promptq migrate"):
        admit(store)
    migrated(empty)
    assert admit(store).session_created
    store.close()


def test_no_content_is_in_what_a_traceback_shows_of_a_statement(empty: str) -> None:
    store = open_store(settings_of(migrated(empty)))
    kept = admit(store, text="the secret text").message

    def insert_it_again(tx: Tx) -> None:
        insert_messages(tx, [kept])

    with pytest.raises(RowRefused) as refused:
        store._write("test", insert_it_again)
    assert "secret" not in "".join(traceback.format_exception(refused.value))
    store.close()


def test_the_command_says_in_a_sentence_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "promptq.db").write_text("not a database, though it has the name of one" * 10)
    environment = clean_environment(DATABASE_URL=f"sqlite:///{tmp_path / 'promptq.db'}")
    ran = subprocess.run(
        [sys.executable, "-m", "storage.sql.migrate"],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 1
    assert "file is not a database" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_url_of_another_database_is_refused(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "storage.sql.migrate"],
        env=clean_environment(DATABASE_URL="mysql://root@localhost/promptq"),
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert ran.returncode == 1
    assert "sqlite or postgresql" in ran.stderr


def test_a_locked_sqlite_file_is_waited_for_and_then_said_to_be_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = migrated(f"sqlite:///{tmp_path / 'promptq.db'}")
    monkeypatch.setattr("storage.sql.sqlite.LOCK_WAIT_S", 0.05)
    other = sqlite3.connect(tmp_path / "promptq.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store = open_store(settings_of(url))
    with pytest.raises(StoreUnavailable, match="locked"):
        store.hold("reconcile", "w1", lease_ms=1000)
    other.execute("ROLLBACK")
    other.close()
    assert store.hold("reconcile", "w1", lease_ms=1000)
    store.close()
