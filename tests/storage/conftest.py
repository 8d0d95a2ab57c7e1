"""Every test that takes `store` runs over each keeper: plain memory, SQLite in a real file, a real Postgres."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.base import Store
from tests.storage.actors import Worker
from tests.storage.kinds import ALL
from tests.support import keepers
from tests.support.clocks import FakeClock
from tests.support.keepers import Keeper
from tests.support.postgres import PostgresServer
from tests.support.valkey import ValkeyServer


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    keepers.migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a migrated Postgres database of this test worker's own."""
    with postgres_server.database() as url:
        yield keepers.migrated(url)


@pytest.fixture(params=ALL)
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keeper]:
    """An empty keeper; a test that needs settings of its own opens its stores itself."""
    match request.param:
        case "memory":
            made = Keeper("memory")
        case "sqlite":
            template: Path = request.getfixturevalue("sqlite_template")
            made = Keeper("sqlite", keepers.sqlite_copy(template, tmp_path))
        case "fakeredis":
            made = Keeper("fakeredis")
        case "valkey":
            valkey: ValkeyServer = request.getfixturevalue("valkey")
            made = Keeper("valkey", valkey.url)
        case _:
            made = Keeper("postgres", keepers.emptied(request.getfixturevalue("migrated_postgres")))
    yield made
    made.close()


@pytest.fixture
def clock(keeper: Keeper) -> FakeClock:
    """The keeper's clock."""
    return keeper.clock


@pytest.fixture
def store(keeper: Keeper) -> Store:
    """An empty store."""
    return keeper.open()


@pytest.fixture
def worker(store: Store) -> Worker:
    """A worker of the store."""
    return Worker(store)
