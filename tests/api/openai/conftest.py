"""A server with a worker, and OpenAI's own client, unmodified."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvicorn
from openai import OpenAI

from api.main import create_app
from domain.configuration import Configuration
from domain.settings import Settings
from executors.registry import Executors
from storage.notices import Notices
from storage.opening import batches_of, open_stores
from tasks.engine.engine import Engine
from tasks.engine.telling import Teller
from tests.api.openai.house import House
from tests.support.keepers import sqlite_copy
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

Start = Callable[..., House]


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow outputs closely."""
    monkeypatch.setattr("api.openai.batches.FOLLOW_S", 0.01)
    monkeypatch.setattr("api.waiters.LOOK_S", 0.05)


@pytest.fixture
def start(tmp_path: Path, sqlite_template: Path) -> Iterator[Start]:
    """What starts a house with settings of the test's own."""
    with contextlib.ExitStack() as stack:

        def make(*, configuration: Configuration | None = None, worker: bool = True, **given: object) -> House:
            url = sqlite_copy(sqlite_template, tmp_path / "store")
            settings = Settings.model_validate(
                {"database_url": url, "redis_url": None, "data_dir": tmp_path, "echo_faults": True, **given}
            )
            house = stack.enter_context(_serving(settings, configuration))
            if worker:
                house.employ()
            return house

        yield make


@contextlib.contextmanager
def _serving(settings: Settings, configuration: Configuration | None) -> Iterator[House]:
    store = open_stores(settings)
    notices = Notices(settings.redis, settings.redis_prefix)
    engines: list[Engine] = []

    def employ() -> Engine:
        teller = Teller(store, notices)
        engine = Engine(
            store,
            Executors(settings),
            settings,
            batches=batches_of(store),
            teller=teller,
            audiences={"notices": teller.tell},
        )
        engine.start()
        engines.append(engine)
        return engine

    class Bell:
        """Rings straight to the engines."""

        def ring(self) -> None:
            for engine in engines:
                engine.look()

        def close(self) -> None:
            pass

    app = create_app(settings, store=lambda: open_stores(settings), bell=Bell, configuration=configuration)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="on", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    batches = batches_of(store)
    assert batches is not None
    yield House(f"http://127.0.0.1:{port}", settings, store, batches, employ, app)
    server.should_exit = True
    thread.join(10)
    for engine in engines:
        engine.stop()
    notices.close()
    store.close()


@pytest.fixture
def house(start: Start) -> House:
    """A server with one worker."""
    return start()


@pytest.fixture
def redis_house(start: Start, valkey: ValkeyServer) -> House:
    """The same, with a Redis."""
    return start(redis_url=valkey.url)


@pytest.fixture
def client(house: House) -> Iterator[OpenAI]:
    """OpenAI's client of the house."""
    with house.client() as made:
        yield made
