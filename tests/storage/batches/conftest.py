"""Files and batches over each database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.sql.store import SqlStore
from tests.storage.batches.bulk import Bulk
from tests.storage.kinds import DATABASES
from tests.support import keepers
from tests.support.keepers import Keeper


@pytest.fixture(params=DATABASES)
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Keeper]:
    """An empty keeper that has files and batches."""
    if request.param == "sqlite":
        made = Keeper("sqlite", keepers.sqlite_copy(request.getfixturevalue("sqlite_template"), tmp_path))
    else:
        made = Keeper("postgres", keepers.emptied(request.getfixturevalue("migrated_postgres")))
    yield made
    made.close()


@pytest.fixture
def bulk(keeper: Keeper) -> Bulk:
    """An empty store of files and batches."""
    store = keeper.open()
    assert isinstance(store, SqlStore)
    return Bulk(store, keeper.clock)
