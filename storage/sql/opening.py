"""How a durable store is opened. Every process opens its own, after it was forked."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from domain.clock import Clock, system_clock
from domain.errors import InvalidRequest
from domain.settings import Settings
from storage.sql.postgres import PostgresTransactions
from storage.sql.sqlite import SAFE_VERSION, SqliteTransactions
from storage.sql.store import SqlStore
from storage.sql.transactions import Transactions
from storage.sql.versions import CheckedTransactions


def open_store(
    settings: Settings, *, clock: Clock | None = None, jitter: Callable[[], float] = random.random
) -> SqlStore:
    """Open the store that the settings name. Its calls refuse a schema of another version (`storage.sql.migrate`).

    Args:
        settings: `sql_url`, `model` and `backlog` are used.
        clock: stands in for the store's clock, in tests.
        jitter: stands in for chance, in tests.

    Raises:
        InvalidRequest: the URL names a database that promptq does not speak.
    """
    checked = CheckedTransactions(transactions(settings, clock=clock), file=_file_of(settings.sql_url))
    return SqlStore(checked, default_model=settings.model, backlog=settings.backlog, jitter=jitter)


def transactions(settings: Settings, *, clock: Clock | None = None) -> Transactions:
    """Open the database that the settings name."""
    url = settings.sql_url
    match backend_of(url):
        case "sqlite":
            return SqliteTransactions(url, clock=clock or system_clock)
        case _:
            return PostgresTransactions(url, clock=clock, connections=settings.database_connections)


def _file_of(url: str) -> Path | None:
    database = sa.make_url(url).database if backend_of(url) == "sqlite" else None
    return Path(database) if database and not database.startswith((":", "file:")) else None


def backend_of(url: str) -> str:
    """Return `sqlite` or `postgresql`.

    Raises:
        InvalidRequest: it is neither.
    """
    try:
        backend = sa.make_url(url).get_backend_name()
    except sa.exc.ArgumentError as error:
        message = "PROMPTQ_DATABASE_URL is not a database URL (sqlite:///PATH or postgresql://USER@HOST/NAME)"
        raise InvalidRequest(message, field="PROMPTQ_DATABASE_URL") from error
    if backend not in {"sqlite", "postgresql"}:
        message = f"PROMPTQ_DATABASE_URL names {backend!r}; promptq keeps sessions in sqlite or postgresql"
        raise InvalidRequest(message, field="PROMPTQ_DATABASE_URL")
    return backend


def warning_about(url: str) -> str | None:
    """Return what an operator should know about this database library, or None."""
    if backend_of(url) != "sqlite" or sqlite3.sqlite_version_info >= SAFE_VERSION:
        return None
    safe = ".".join(map(str, SAFE_VERSION))
    return (
        f"SQLite {sqlite3.sqlite_version} is older than {safe}: it has a rare bug that can damage a database when "
        "several processes write. Use Postgres for work that matters, or a newer Python."
    )
