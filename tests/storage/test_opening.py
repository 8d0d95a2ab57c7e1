"""What is said about a database when it is opened."""

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from domain.errors import InvalidRequest, StoreIncompatible
from domain.settings import Settings
from storage.base import SessionQuery
from storage.sql import open_store
from storage.sql.migrate import upgrade
from storage.sql.opening import backend_of, warning_about
from tests.storage.actors import a_prompt
from tests.support.keepers import Keeper


def test_an_old_sqlite_is_warned_about_and_another_database_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    assert "Postgres" in (warning_about("sqlite:///promptq.db") or "")
    assert warning_about("postgresql+psycopg://promptq@localhost/promptq") is None
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    assert warning_about("sqlite:///promptq.db") is None


@pytest.mark.parametrize("url", ["", "not a url", "redis://localhost", "mysql://localhost/x"])
def test_only_sqlite_and_postgres_are_databases(url: str) -> None:
    with pytest.raises(InvalidRequest, match="PROMPTQ_DATABASE_URL"):
        backend_of(url)


@pytest.mark.parametrize("keeper", ["postgres"], indirect=True)
def test_a_process_opens_no_more_connections_to_postgres_than_it_is_allowed(keeper: Keeper) -> None:
    url = keeper.url or ""
    store = open_store(Settings.model_validate({"database_url": url, "database_connections": 4}))
    keeper.opened.append(store)
    with ThreadPoolExecutor(20) as pool, sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        answers = [pool.submit(store.sessions, "default", SessionQuery()) for _ in range(200)]
        prompts = [store.admit_soon("default", f"ses_{number}", a_prompt()) for number in range(200)]
        assert all(answer.result(30) is not None for answer in answers)
        assert all(prompt.result(30).session_created for prompt in prompts)
        asked = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'promptq' AND datname = current_database()"
        )
        opened = connection.exec_driver_sql(asked).scalar_one()
    assert 0 < opened <= 4


def test_a_database_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "nowhere")
    store = open_store(settings)
    for _ in range(2):
        with pytest.raises(
            StoreIncompatible, match=r"there is no database .*/nowhere/promptq\.db: run 'promptq migrate'"
        ):
            store.ready()
    assert list(tmp_path.iterdir()) == []
    upgrade(settings)
    store.ready()
    store.close()
    assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700
