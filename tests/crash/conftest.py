"""Fixtures of the crash tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.crash.trial import Trial
from tests.crash.trial import trial as make_trial
from tests.support.keepers import migrated
from tests.support.valkey import ValkeyServer

DATABASES = ("sqlite", "postgres")


@pytest.fixture(params=DATABASES)
def trial(
    request: pytest.FixtureRequest, tmp_path: Path, valkey: ValkeyServer, free_port: Callable[[], int]
) -> Iterator[Trial]:
    """A trial on an empty, migrated database of each kind."""
    url = f"sqlite:///{tmp_path}/promptq.db"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    with make_trial(tmp_path, migrated(url), valkey, free_port()) as made:
        yield made
