"""Real Celery workers as processes, on a real Valkey and a real database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.jobs import Job, State
from domain.settings import Settings
from storage.base import Store
from storage.sql import open_store
from tasks.doorbell import Doorbell
from tests.storage.actors import admit_job
from tests.support.commands import Command, clean_environment
from tests.support.keepers import sqlite_copy
from tests.support.waiting import eventually


@dataclass
class Fleet:
    """A database, perhaps a Redis, and the workers that a test starts on them."""

    directory: Path
    settings: Settings
    store: Store
    bell: Doorbell
    workers: list[Command] = field(default_factory=list)

    @classmethod
    def make(cls, template: Path, directory: Path, redis_url: str | None) -> "Fleet":
        url = sqlite_copy(template, directory / "store")
        given = {"database_url": url, "data_dir": directory, "redis_url": redis_url, "echo_faults": True}
        settings = Settings.model_validate(given)
        return cls(directory, settings, open_store(settings), Doorbell(settings))

    def environment(self, **more: Any) -> dict[str, str]:
        """The environment of a process of this fleet."""
        values = {
            "DATABASE_URL": self.settings.sql_url,
            "DATA_DIR": str(self.directory),
            "REDIS_URL": self.settings.redis or "",
            "ECHO_FAULTS": "1",
            "LEASE": "2",
            "GRACE": "0.5",
            **{name.upper(): str(value) for name, value in more.items()},
        }
        return clean_environment(**values)

    def worker(self, *, name: str = "one", arguments: tuple[str, ...] = (), **settings: Any) -> Command:
        """Start a worker; it may not be ready yet."""
        command = Command(
            *("-m", "celery", "-A", "tasks.main:app", "worker", "-l", "INFO", "-n", f"{name}@test"),
            *("--without-gossip", "--without-mingle", *arguments),
            output=self.directory / f"{name}.log",
            environment=self.environment(**settings),
        )
        self.workers.append(command)
        return command

    def celery(self, *arguments: str, name: str, environment: Mapping[str, str] | None = None) -> Command:
        """Start another Celery command."""
        command = Command(
            *("-m", "celery", "-A", "tasks.main:app", *arguments),
            output=self.directory / f"{name}.log",
            environment={**self.environment(), **(environment or {})},
        )
        self.workers.append(command)
        return command

    def admit(
        self, text: str = "hello", session_id: str = "ses_a", *, echo: Mapping[str, Any] | None = None, **fields: Any
    ) -> Job:
        """Post a prompt as the API does: admit, then ring."""
        if echo:
            fields["detail"] = {"metadata": {"echo": dict(echo)}}
        job = admit_job(self.store, session_id, text, **fields)
        self.bell.ring()
        return job

    def job(self, job: Job) -> Job:
        return self.store.job(job.tenant, job.id)

    def reaches(self, job: Job, state: State, timeout: float = 30) -> Job:
        """Wait until a job is in a state; return it."""
        eventually(lambda: self.job(job).state is state, timeout, what=f"{job.id} is {state}")
        return self.job(job)

    def close(self) -> None:
        for worker in self.workers:
            worker.__exit__()
        self.bell.close()
        self.store.close()
