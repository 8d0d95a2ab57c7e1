"""Where benchmarks are run: one Valkey, one Postgres that syncs, databases, and promptq's processes on them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx2

from benchmarks.figures import Scale
from cli import roles
from domain.settings import Settings
from storage.base import Store
from storage.sql import open_store
from storage.sql.migrate import upgrade
from tasks.doorbell import Doorbell
from tests.support import postgres
from tests.support.commands import Command, clean_environment
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

KINDS = ("sqlite", "postgres")
"""The databases that promptq is measured on."""

DATABASE_NAMES = {"sqlite": "SQLite", "postgres": "Postgres"}

POSTGRES = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
}
"""As durable as Postgres comes, with room enough that no checkpoint falls into a measurement. Else its defaults."""

PATIENCE_S = 60.0


class Databases(Protocol):
    """A Postgres server that makes databases."""

    def database(self) -> contextlib.AbstractContextManager[str]:
        """An empty database for the length of a block; yields its URL."""


@dataclass
class Ground:
    """What one run of benchmarks stands on. All that it starts ends with it."""

    directory: Path
    valkey: ValkeyServer
    scale: Scale
    kinds: Sequence[str] = KINDS
    #: None: it is started when it is first wanted.
    postgres: Databases | None = None
    tells: bool = True
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def tell(self, what: str) -> None:
        """Say what is being done, to the person who waits."""
        if self.tells:
            print(f"… {what}", file=sys.stderr, flush=True)

    @property
    def broker(self) -> str:
        """The Valkey as plain Celery is told of it: a database of its own, beside promptq's."""
        return f"{self.valkey.broker_url}?virtual_host=1"

    def number(self) -> int:
        """A number that was not given before, to name something by."""
        return next(self._numbers)

    def database(self, kind: str) -> contextlib.AbstractContextManager[Place]:
        """A new, empty, migrated database, and what promptq does on it, for the length of a block."""
        return self._place(kind)

    @contextlib.contextmanager
    def _place(self, kind: str) -> Iterator[Place]:
        with contextlib.ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=self.directory)))
            url = f"sqlite:///{directory / 'promptq.db'}"
            if kind == "postgres":
                url = stack.enter_context(self._postgres().database())
            self.valkey.flush()
            place = Place(self, kind, directory, url)
            upgrade(place.settings())
            stack.callback(place.close)
            yield place

    def _postgres(self) -> Databases:
        if self.postgres is None:
            self.tell("starting Postgres")
            server = postgres.join(self.directory / "pg", POSTGRES)
            self._stack.callback(server.leave)
            self.postgres = server
        return self.postgres

    def close(self) -> None:
        self._stack.close()


class Place:
    """A database, and promptq on it."""

    def __init__(self, ground: Ground, kind: str, directory: Path, url: str) -> None:
        self.ground = ground
        self.kind = kind
        self.name = DATABASE_NAMES[kind]
        self.directory = directory
        self.url = url
        self.store: Store = open_store(self.settings())
        self.bell = Doorbell(self.settings())

    def settings(self, **more: Any) -> Settings:
        given = {
            "database_url": self.url,
            "data_dir": self.directory,
            "redis_url": self.ground.valkey.url,
            "echo_faults": True,
            "grace": 1,
            **more,
        }
        return Settings.model_validate(given)

    def worker(self, *, slots: int = 64) -> Command:
        """Start a worker as `promptq worker` does, its task events on, and wait until it is ready."""
        settings = self.settings(concurrency=slots)
        command = self._start(roles.worker(settings, self._environment()))
        command.says("ready.", PATIENCE_S)
        return command

    def api(self) -> tuple[Command, int]:
        """Start the API as `promptq api` does, wait until it answers, and return it with its port."""
        port = free_port()
        command = self._start(roles.api(self.settings(port=port), self._environment()))
        answers(port, "/healthz")
        return command, port

    def environment(self) -> dict[str, str]:
        """The environment of a process that knows this place's settings."""
        return roles.worker(self.settings(), self._environment()).environment

    def _environment(self) -> dict[str, str]:
        return clean_environment(DATABASE_URL=self.url, ECHO_FAULTS="1", LOG_LEVEL="INFO")

    def _start(self, role: roles.Role) -> Command:
        log = self.directory / f"{role.name}-{self.ground.number()}.log"
        return Command(*role.command[1:], output=log, environment=role.environment)

    def close(self) -> None:
        self.bell.close()
        self.store.close()


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def answers(port: int, path: str) -> None:
    """Wait until an HTTP server answers."""

    def does() -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{port}{path}", timeout=2).is_success
        except httpx2.TransportError:
            return False

    eventually(does, PATIENCE_S, what=f"port {port} answers")
