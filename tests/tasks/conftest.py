"""Engines as tests start them: on a real store, with a scripted executor, and without Celery."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.jobs import Job
from domain.messages import Message
from domain.settings import Settings
from executors.echo import EchoExecutor
from executors.registry import Executors
from storage.base import Store
from storage.sql import open_store
from tasks.engine.engine import Engine
from tests.storage.actors import admit_job
from tests.support.keepers import migrated, sqlite_copy
from tests.support.memory_store import MemoryStore
from tests.support.waiting import eventually
from tests.tasks.scripted import MODEL, Script, Scripted


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_store(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Store]:
    """A store in SQLite. Repeats come at once: its jitter is nothing."""
    settings = Settings.model_validate({"database_url": sqlite_copy(migrated_sqlite, tmp_path / "store")})
    store = open_store(settings, jitter=lambda: 0.0)
    yield store
    store.close()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store, on the real clock."""
    if request.param == "memory":
        return MemoryStore(jitter=lambda: 0.0)
    found: Store = request.getfixturevalue("sqlite_store")
    return found


class Workshop:
    """Starts engines and looks at what they do."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.scripts: dict[str, Script] = {}
        self.executor = Scripted(self.scripts)
        self.engines: list[Engine] = []

    def engine(self, *, store: Any = None, patience_s: float = 5.0, options: Any = None, **settings: Any) -> Engine:
        """Start an engine; `settings` are promptq's, `options` the engine's own."""
        made = Settings.model_validate({"echo_faults": True, **settings})
        executors = Executors(made, {"scripted": lambda _: self.executor, "echo": EchoExecutor})
        engine = Engine(store or self.store, executors, made, patience_s=patience_s, **(options or {}))
        self.engines.append(engine)
        engine.start()
        return engine

    def admit(self, text: str = "hi", session_id: str = "ses_a", *, model: str = MODEL, **fields: Any) -> Job:
        """Post a prompt, and have the engines look."""
        job = admit_job(self.store, session_id, text, model=model, **fields)
        for engine in self.engines:
            engine.look()
        return job

    def job(self, job: Job) -> Job:
        """The job as it is kept now."""
        return self.store.job(job.tenant, job.id)

    def ended(self, job: Job, timeout: float = 10) -> Job:
        """Wait for a job's end; return it."""

        def is_ended() -> bool:
            return not self.job(job).state.is_open

        eventually(is_ended, timeout, what=f"{job.id} ends")
        return self.job(job)

    def answer(self, job: Job) -> Message:
        """The assistant message of an ended job."""
        found = self.store.answer(job.tenant, job.session_id, job.incarnation, job.seq)
        assert found is not None
        return found

    def text(self, job: Job) -> str:
        """The text of an ended job's answer."""
        return "".join(str(part["text"]) for part in self.answer(job).parts if part["type"] == "text")

    def is_running(self, job: Job) -> bool:
        """Whether an attempt at the job runs in one of the engines."""
        return any(attempt.job.id == job.id for engine in self.engines for attempt in engine.running())

    def close(self) -> None:
        for engine in self.engines:
            engine.stop()


@pytest.fixture
def workshop(store: Store) -> Iterator[Workshop]:
    """A workshop over each kind of store."""
    made = Workshop(store)
    yield made
    made.close()


@pytest.fixture
def sqlite_workshop(sqlite_store: Store) -> Iterator[Workshop]:
    """A workshop over SQLite, for what does not differ between stores, or what only a database has."""
    made = Workshop(sqlite_store)
    yield made
    made.close()
