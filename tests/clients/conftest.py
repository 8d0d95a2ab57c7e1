"""A whole promptq behind a real server, with a real worker, for OpenCode's own clients."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli import running
from tests.clients.installation import Installation, NotToBeHad, installed
from tests.clients.opencode import OpenCode
from tests.support.commands import Command, clean_environment
from tests.support.waiting import eventually

PASSWORD = "a-password-for-tests"
ALONE = ("-P", "-m", "cli.main", "up", "--port", "0", "--no-flower", "--quiet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.clients)
            item.add_marker(pytest.mark.xdist_group("clients"))


@dataclass(frozen=True)
class Server:
    """A promptq that is up."""

    url: str
    client: httpx2.Client

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def post(self, path: str, body: Any = None) -> httpx2.Response:
        return self.client.post(path, json=body) if body is not None else self.client.post(path)

    def sessions(self) -> list[str]:
        return [each["id"] for each in self.get("/session?limit=1000")]

    def said(self, session_id: str) -> list[str]:
        """The texts of a session's messages, in order."""
        messages = self.get(f"/session/{session_id}/message")
        return ["".join(part.get("text", "") for part in each["parts"]) for each in messages]


@contextlib.contextmanager
def up(directory: Path, **settings: str) -> Iterator[Server]:
    """Run a promptq for the length of a block."""
    data = directory / "data"
    environment = clean_environment(DATA_DIR=str(data), ECHO_FAULTS="1", **settings)
    with Command(*ALONE, output=directory / "output", environment=environment) as command:
        eventually(lambda: running.find(data), 60, what=f"promptq is up; it says {command.output!r}")
        found = running.find(data)
        assert found is not None
        auth = ("opencode", settings["PASSWORD"]) if "PASSWORD" in settings else None
        with httpx2.Client(base_url=found.url, timeout=30, auth=auth) as client:
            yield Server(found.url, client)


@pytest.fixture(scope="session")
def installation() -> Installation:
    """The clients, or a reason to skip."""
    try:
        return installed()
    except NotToBeHad as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> Iterator[Server]:
    """A promptq that all tests share; each uses sessions of its own."""
    with up(tmp_path_factory.mktemp("promptq"), VIRTUAL_SESSIONS="1") as running_one:
        yield running_one


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> Iterator[Server]:
    """A promptq with a password, and without virtual sessions."""
    with up(tmp_path_factory.mktemp("guarded"), PASSWORD=PASSWORD) as running_one:
        yield running_one


@pytest.fixture(scope="session")
def opencode(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> OpenCode:
    """OpenCode's command."""
    return OpenCode(installation, tmp_path_factory.mktemp("opencode"))
