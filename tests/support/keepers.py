"""The keepers that keep the store's contract, each empty, on a clock of the test's."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import fakeredis
import sqlalchemy as sa

from domain.settings import Settings
from storage import redis_clients
from storage.base import Store
from storage.ephemeral.store import EphemeralStore
from storage.sql import open_store
from storage.sql.migrate import upgrade
from storage.sql.schema import metadata
from tests.support.clocks import FakeClock
from tests.support.memory_store import MemoryStore


@dataclass
class Keeper:
    """An empty keeper of one kind. All stores opened of it keep the same things, but for memory's."""

    kind: str
    #: Of a database: its SQLAlchemy URL.
    url: str | None = None
    clock: FakeClock = field(default_factory=FakeClock)
    opened: list[Store] = field(default_factory=list)
    #: Of the kind `fakeredis`: what its stores share.
    fake: fakeredis.FakeServer = field(default_factory=fakeredis.FakeServer)

    @property
    def is_ephemeral(self) -> bool:
        """Whether what it keeps goes by itself, and nothing of it stays behind."""
        return self.kind in {"fakeredis", "valkey"}

    def empty(self) -> None:
        """Take out all that it keeps."""
        match self.kind:
            case "memory":
                self.opened.clear()
            case "fakeredis":
                fakeredis.FakeRedis(server=self.fake).flushall()
            case "valkey":
                redis_clients.sync_client(self.url or "").flushall()
            case _:
                emptied(self.url or "")

    def open(self, *, backlog: int = 1_000_000, jitter: Callable[[], float] = lambda: 0.5) -> Store:
        """Open a store that is closed when the test ends."""
        store: Store
        if self.kind == "fakeredis":
            fake = fakeredis.FakeRedis(server=self.fake)
            store = EphemeralStore(fake, clock=self.clock, backlog=backlog, jitter=jitter)
        elif self.url is None:
            store = MemoryStore(clock=self.clock, backlog=backlog, jitter=jitter)
        elif self.kind == "valkey":
            client = redis_clients.sync_client(self.url)
            store = EphemeralStore(client, clock=self.clock, backlog=backlog, jitter=jitter)
        else:
            store = open_store(settings_of(self.url, backlog=backlog), clock=self.clock, jitter=jitter)
        self.opened.append(store)
        return store

    def close(self) -> None:
        """Close all that was opened."""
        for store in self.opened:
            store.close()


def settings_of(url: str, *, backlog: int = 1_000_000) -> Settings:
    """The settings of a store in this database."""
    return Settings.model_validate({"database_url": url, "backlog": backlog})


def migrated(url: str) -> str:
    """Bring a database to the schema; return its URL."""
    upgrade(settings_of(url))
    return url


def sqlite_copy(template: Path, directory: Path) -> str:
    """Copy a migrated SQLite file; return the copy's URL."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "promptq.db"
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"


def emptied(url: str) -> str:
    """Delete all rows of a database; return its URL."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    engine.dispose()
    return url
