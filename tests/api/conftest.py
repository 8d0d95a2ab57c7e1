"""An API over a store of each kind, called in process, with a worker beside it that the test drives by hand."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from api.main import create_app
from domain.configuration import Configuration
from domain.settings import Settings
from storage.base import Store
from storage.notices import Notices
from storage.sql import open_store
from tests.storage.actors import Worker
from tests.support import keepers
from tests.support.memory_store import MemoryStore
from tests.support.waiting import eventually


class Bell:
    """Counts its rings."""

    def __init__(self) -> None:
        self.rings = 0
        self.closed = False

    def ring(self) -> None:
        self.rings += 1

    def close(self) -> None:
        self.closed = True


class TellingWorker(Worker):
    """A worker that publishes what it has done, as an engine does."""

    def __init__(self, store: Store, settings: Settings) -> None:
        super().__init__(store)
        self._notices = Notices(settings.redis, settings.redis_prefix)

    def finish(self, *arguments: Any, **more: Any) -> Any:
        exchange = super().finish(*arguments, **more)
        self._notices.publish([*exchange.taken, *exchange.ended])
        return exchange


@dataclass
class Api:
    """One API: its client, and what is behind it."""

    client: TestClient
    store: Store
    bell: Bell
    worker: TellingWorker
    settings: Settings

    def post(self, path: str, body: Any = None, **more: Any) -> httpx2.Response:
        return self.client.post(path, json=body, **more) if body is not None else self.client.post(path, **more)

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return self.client.get(path, **more)

    def prompt(self, session: str = "ses_a", text: str = "hi", **fields: Any) -> httpx2.Response:
        """Post a prompt of one text part; it must be kept."""
        answer = self.post(f"/session/{session}/prompt_async", a_prompt(text, **fields))
        assert answer.status_code == 204, answer.text
        return answer

    def job(self, answer: httpx2.Response) -> dict[str, Any]:
        """The job that an answer names in its Location."""
        found = self.get(answer.headers["location"])
        assert found.status_code == 200
        job: dict[str, Any] = found.json()
        return job


def a_prompt(text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"parts": [{"type": "text", "text": text}], **fields}


@dataclass
class Apis:
    """Starts APIs over stores of one kind; all stop when the test ends."""

    kind: str
    directory: Path
    template: Path
    running: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def settings(self, **given: Any) -> Settings:
        values = {"redis_url": None, "database_url": None, **given}
        if self.kind == "sqlite":
            path = self.directory / "promptq.db"
            values["database_url"] = f"sqlite:///{path}"
            if not path.exists():
                keepers.sqlite_copy(self.template, self.directory)
        return Settings.model_validate(values)

    def start(
        self,
        store: Store | None = None,
        *,
        base_url: str = "http://localhost:4096",
        configuration: Configuration | None = None,
        **given: Any,
    ) -> Api:
        settings = self.settings(**given)
        opened = store or self.open(settings)
        bell = Bell()
        app = create_app(settings, store=lambda: opened, bell=lambda: bell, configuration=configuration)
        client = TestClient(app, base_url=base_url, raise_server_exceptions=False)
        self.running.enter_context(client)
        return Api(client, opened, bell, TellingWorker(opened, settings), settings)

    def open(self, settings: Settings) -> Store:
        if self.kind == "memory":
            return MemoryStore(default_model=settings.model, backlog=settings.backlog)
        return open_store(settings)


@dataclass
class Served:
    """An API over plain memory behind a real server, for what happens on real connections."""

    app: FastAPI
    store: MemoryStore
    port: int


@contextlib.contextmanager
def serving(*, configuration: Configuration | None = None, **given: Any) -> Iterator[Served]:
    """Serve with these settings for the length of a block."""
    store = MemoryStore()
    settings = Settings.model_validate({"redis_url": None, **given})
    app = create_app(settings, store=lambda: store, bell=Bell, configuration=configuration)
    with listening(app) as port:
        yield Served(app, store, port)


@contextlib.contextmanager
def listening(app: FastAPI) -> Iterator[int]:
    """Have an application served on a free port of loopback for the length of a block."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let waits without a Redis end soon."""
    monkeypatch.setattr("api.waiters.LOOK_S", 0.05)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    keepers.migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["memory", "sqlite"])
def apis(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[Apis]:
    """What starts an API with settings of the test's own."""
    made = Apis(request.param, tmp_path, sqlite_template)
    with made.running:
        yield made


@pytest.fixture
def memory_apis(tmp_path: Path, sqlite_template: Path) -> Iterator[Apis]:
    """The same over plain memory alone, for what no store has a part in."""
    made = Apis("memory", tmp_path, sqlite_template)
    with made.running:
        yield made


@pytest.fixture
def api(apis: Apis) -> Api:
    """An API without a Redis and without a password."""
    return apis.start()
