"""The servers of a run, each behind a network: a Valkey, a database, the model; and the hosts that reach them."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg

from tests.support import postgres_keeper
from tests.support.commands import Command, clean_environment
from tests.support.proxy import Proxy, Weather
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

PATIENCE_S = 60.0


class PostgresProcess:
    """A Postgres of the run's own, that may be killed and started again."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        directory.chmod(0o711)
        self._directory = directory
        self._log = (directory.parent / "postgres.log").open("ab")
        self._process = postgres_keeper.start(directory, postgres_keeper.SETTINGS, self._log)
        eventually(self.answers, PATIENCE_S, what="Postgres answers")

    @property
    def socket(self) -> Path:
        return self._directory / ".s.PGSQL.5432"

    @property
    def files(self) -> Path:
        return self._directory / "pgdata"

    @property
    def url(self) -> str:
        """As who is beside the server reaches it."""
        return f"postgresql+psycopg://postgres@/postgres?host={self._directory}"

    def url_by(self, port: int) -> str:
        """As it is reached by a proxy."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(f"host={self._directory} user=postgres dbname=postgres", autocommit=True)

    def answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def deadlocks(self) -> int:
        """How many transactions it has undone because they waited for each other."""
        with self.connect() as connection:
            row = connection.execute("SELECT coalesce(sum(deadlocks), 0) FROM pg_stat_database").fetchone()
        return int(row[0]) if row is not None else 0

    def kill(self) -> None:
        """End it at once, as a crash does: nothing is written that was not."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait()

    def start(self) -> None:
        """Start it again; it recovers what was committed."""
        self._process = postgres_keeper.launch(self._directory, postgres_keeper.SETTINGS, self._log)
        eventually(self.answers, PATIENCE_S, what="Postgres answers again")

    def stop(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._log.close()


@dataclass(frozen=True)
class Host:
    """A machine that processes run on: it reaches the servers by networks of its own."""

    redis: Proxy
    #: None: the database is a file of this machine's.
    database: Proxy | None

    def become(self, weather: Weather) -> None:
        for proxy in (self.redis, self.database):
            if proxy is not None:
                proxy.become(weather)


class Ground:
    """All that is not promptq. A context manager."""

    def __init__(self, directory: Path, database: str) -> None:
        """Start it in a directory; `database` is `sqlite` or `postgres`."""
        self.directory = directory
        self.kind = database
        self._open = contextlib.ExitStack()
        self.valkey = ValkeyServer(directory)
        self.postgres: PostgresProcess | None = None
        self.hosts: list[Host] = []
        self.model = ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            self.valkey.start()
            opening.callback(self.valkey.stop)
            if self.kind == "postgres":
                self.postgres = PostgresProcess(self.directory / "postgres")
                opening.callback(self.postgres.stop)
            self.model = opening.enter_context(self._model())
            self.hosts = [opening.enter_context(self._host()) for _ in range(2)]
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.valkey.thaw()
        self._open.close()

    @property
    def database_file(self) -> Path:
        return self.directory / "promptq.db"

    @property
    def url(self) -> str:
        """The database's, for who is beside it."""
        return self.postgres.url if self.postgres is not None else f"sqlite:///{self.database_file}"

    def settings_on(self, host: Host) -> dict[str, str]:
        """How a process of a host reaches the servers."""
        found = {"redis_url": f"redis://127.0.0.1:{host.redis.port}/0"}
        if self.postgres is not None and host.database is not None:
            found["database_url"] = self.postgres.url_by(host.database.port)
        return found

    @contextlib.contextmanager
    def _host(self) -> Iterator[Host]:
        with contextlib.ExitStack() as opening:
            redis = opening.enter_context(Proxy(self.valkey.socket))
            database = opening.enter_context(Proxy(self.postgres.socket)) if self.postgres is not None else None
            yield Host(redis, database)

    @contextlib.contextmanager
    def _model(self) -> Iterator[str]:
        port = free_port()
        output = self.directory / "model.log"
        arguments = ("-m", "tests.faults.model", str(self.directory), str(port))
        with Command(*arguments, output=output, environment=here()) as command:
            eventually(lambda: _listens(port), PATIENCE_S, what="the model listens")
            yield f"http://127.0.0.1:{port}/"
            assert command.process.poll() is None, output.read_text()


def here() -> dict[str, str]:
    """The environment of the suite's own processes: they run this tree's code."""
    return {**clean_environment(), "PYTHONPATH": str(Path(__file__).parents[2])}


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
