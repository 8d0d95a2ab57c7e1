"""What is said about a database when it is opened."""

import sqlite3

import pytest

from domain.errors import InvalidRequest
from storage.sql.opening import backend_of, warning_about


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
