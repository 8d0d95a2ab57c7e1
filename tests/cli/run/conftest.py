"""A whole promptq in this process for runs to talk to, and the command."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.following import House, a_house
from tests.support.cli_runs import Promptq
from tests.support.valkey import ValkeyServer


@pytest.fixture
def house(valkey: ValkeyServer) -> Iterator[House]:
    """A server that answers at once, with scripts or with the prompt's own text."""
    with a_house(valkey.url) as made:
        made.served.app.state.means.bell.ring = made.look
        made.engine()
        yield made


@pytest.fixture
def promptq(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Promptq:
    for name in [name for name in os.environ if name.startswith("PROMPTQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PROMPTQ_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PROMPTQ_URL", house.url)
    return Promptq(monkeypatch, capsys)
