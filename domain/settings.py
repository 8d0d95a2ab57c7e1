"""What an operator can set: `PROMPTQ_*` environment variables, checked once, passed on by each process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.log_lines import LogFormat

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """The settings of every process of promptq. Durations are in seconds."""

    model_config = SettingsConfigDict(env_prefix="PROMPTQ_", env_ignore_empty=True, extra="ignore", frozen=True)

    #: Where the SQLite database, the embedded Redis's socket and the logs of `promptq up` are; made with mode 0700.
    data_dir: Path = Path(".promptq")
    #: The configuration file: see `domain.configuration`. It may be missing, unless it is named here.
    config: Path = Path("promptq.toml")
    #: SQLAlchemy URL of the durable store (`sqlite:///…` or `postgresql://…`); None: SQLite in the data directory.
    database_url: SecretStr | None = None
    #: Connections to Postgres that one process opens at most.
    database_connections: Annotated[int, Field(ge=4, le=10_000)] = 32
    #: `redis://…`, `rediss://…` or `unix://…`; None: the embedded one that `promptq up` starts.
    redis_url: SecretStr | None = None
    #: Any broker of Celery's; None: the Redis.
    broker_url: SecretStr | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 4096
    flower_port: Annotated[int, Field(ge=0, le=65535)] = 5555
    #: Opens the API for the tenant `default`, as Basic (user `opencode`) or Bearer, and Flower. Keys: `config`.
    password: SecretStr | None = None
    #: Opens `/metrics` and `/status` and nothing else, besides `password`: for a monitoring system.
    metrics_password: SecretStr | None = None
    #: Where a worker shows its own figures; None: nowhere, and the APIs show them.
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    #: The address of that port; one that others reach takes `metrics_password`.
    metrics_host: Annotated[str, Field(validate_default=True)] = "127.0.0.1"
    #: More values of `Host` (without port) that the API answers to, besides loopback names and `host`; comma-separated.
    allowed_hosts: str = ""
    #: The model of prompts whose session names none: `provider/model`.
    model: str = "echo/echo"
    #: Slots: how many prompts one worker runs at once.
    concurrency: Annotated[int, Field(ge=1, le=100_000)] = 64
    #: How long a worker's right to a job lasts without renewal.
    lease: Annotated[float, Field(ge=1, le=3600)] = 30
    #: How long a worker that shuts down waits for its jobs before it gives them back.
    grace: Annotated[float, Field(ge=0, le=86_400)] = 30
    #: How long an ephemeral session outlives its latest activity, if it was given no `ttl`.
    ephemeral_ttl: Annotated[float, Field(ge=1, le=604_800)] = 3600
    #: The same, for a session that an unattended run made under `/ephemeral`: nobody comes back to it.
    ephemeral_run_ttl: Annotated[float, Field(ge=1, le=604_800)] = 60
    #: Whether `GET /session/{id}` of a session that is not there shows it as a prompt would make it, instead of 404.
    virtual_sessions: bool = False
    #: Open jobs that one tenant may have.
    backlog: Annotated[int, Field(ge=1)] = 1_000_000
    #: Bytes of one request body.
    body_limit: Annotated[int, Field(ge=1024)] = 32 * 1024 * 1024
    #: Bytes of one uploaded file, decompressed.
    file_limit: Annotated[int, Field(ge=1024)] = 2 * 1024 * 1024 * 1024
    #: Lines of one batch.
    batch_lines: Annotated[int, Field(ge=1)] = 1_000_000
    #: Bytes of one line of a batch.
    batch_line_limit: Annotated[int, Field(ge=64)] = 1024 * 1024
    #: Days that the records of ended jobs are kept.
    retention: Annotated[float, Field(gt=0)] = 30
    #: Whether the echo model obeys a prompt's `metadata.echo` (delays and failures, for tests).
    echo_faults: bool = False
    #: Prefix of every Redis key and channel, so that several promptqs can share one Redis.
    redis_prefix: str = "promptq:"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    #: How log lines are written: `text` for people, `json` (an object a line) for programs that gather them.
    log_format: LogFormat = "text"

    @field_validator("metrics_host")
    @classmethod
    def _is_guarded(cls, host: str, others: ValidationInfo) -> str:
        if host not in _LOOPBACK and others.data.get("metrics_port") and not others.data.get("metrics_password"):
            raise ValueError("others can reach it, so it takes PROMPTQ_METRICS_PASSWORD")
        return host

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @property
    def sql_url(self) -> str:
        """The SQLAlchemy URL of the durable store, with its driver."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir.absolute() / 'promptq.db'}"
        url = self.database_url.get_secret_value()
        for scheme in ("postgres://", "postgresql://"):
            if url.startswith(scheme):
                return "postgresql+psycopg://" + url.removeprefix(scheme)
        return url

    @property
    def redis(self) -> str | None:
        """The URL of the Redis, or None where there is none."""
        return self.redis_url.get_secret_value() if self.redis_url else None

    @property
    def broker(self) -> str | None:
        """The URL of Celery's broker, or None where there is none."""
        return self.broker_url.get_secret_value() if self.broker_url else self.redis
