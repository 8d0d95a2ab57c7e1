"""Brings a database to the schema of this promptq: `python -m storage.sql.migrate`.

One process at a time (a lock file beside SQLite, an advisory lock in Postgres), each revision in one transaction, so a
migration that is interrupted has happened wholly or not at all, and running it again goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from alembic import command

from domain.errors import PromptqError, StoreIncompatible
from domain.settings import Settings
from storage.sql.opening import backend_of, warning_about
from storage.sql.sqlite import sqlite_engine
from storage.sql.transactions import translated
from storage.sql.versions import alembic_config, head_revision, is_known, revision_of

_ADVISORY_LOCK = 0x70726F6D70747131
"""`promptq1`: the number of the lock under which Postgres databases are migrated."""


def upgrade(settings: Settings) -> tuple[str | None, str]:
    """Migrate the database to this promptq's revision. Returns the revisions before and after.

    Raises:
        StoreUnavailable: the database does not answer or cannot be written.
        StoreIncompatible: it was written by a newer promptq.
    """
    url = settings.sql_url
    with translated(), _engine(url) as engine, _alone(engine), engine.connect() as connection:
        before = revision_of(connection)
        if before is not None and not is_known(before):
            message = (
                f"the database is at revision {before}, which this promptq does not know: a newer one wrote it. "
                "Nothing was changed; run that version, or point PROMPTQ_DATABASE_URL elsewhere."
            )
            raise StoreIncompatible(message)
        connection.rollback()
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return before, head_revision()


@contextlib.contextmanager
def _engine(url: str) -> Iterator[sa.Engine]:
    if backend_of(url) == "sqlite":
        path = sa.make_url(url).database
        if path:
            Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        engine = sqlite_engine(url, pool_size=1)
        # Alembic commits each revision; SQLite's DDL is transactional if the transaction is begun by hand.
        sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    else:
        engine = sa.create_engine(url, connect_args={"connect_timeout": 5})
    try:
        yield engine
    finally:
        engine.dispose()


@contextlib.contextmanager
def _alone(engine: sa.Engine) -> Iterator[None]:
    """Let one process migrate at a time."""
    if engine.dialect.name == "sqlite":
        with open(f"{engine.url.database}.migrate", "w") as lock:  # noqa: PTH123 - the URL's own text
            Path(lock.name).chmod(0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    else:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_advisory_lock(:number)"), {"number": _ADVISORY_LOCK})
            connection.commit()
            yield


def main() -> int:
    """Migrate what the environment names, and say so."""
    settings = Settings()
    try:
        before, after = upgrade(settings)
        warning = warning_about(settings.sql_url)
    except PromptqError as error:
        sys.stderr.write(f"promptq migrate: {error}\n")
        return 1
    if warning:
        sys.stderr.write(f"promptq migrate: warning: {warning}\n")
    sys.stdout.write(f"database at revision {after}\n" if before == after else f"database migrated to {after}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
