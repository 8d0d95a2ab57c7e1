"""The command lines and environments of the roles: API, worker, Flower, migration.

`promptq api` and its like become these processes; `promptq up` starts them as children. This module knows how each is
started and imports none of them. No role starts with a configuration file that it cannot honour.

Each is started with Python's `-P`: the packages of promptq have everyday names (`api`, `tasks`), and a directory of
that name where somebody types the command must not be imported in their place. Celery's and uvicorn's own `-A` and
default directory would do so.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cli
from cli.doors import refuse_open_api, refuse_open_flower
from cli.environment import USER, environment_of, read_configuration, remarks_on

if TYPE_CHECKING:
    from domain.settings import Settings

#: Seconds that the API gives requests under way when it stops; a waiting client asks again.
API_GRACE_S = 2

#: Tasks that Flower remembers, about 7 KB each.
FLOWER_TASKS = 10_000

_PYTHON = (sys.executable, "-P")

#: Celery's own command, told of our app. (`app.start` would do, but it drops the exit code: Celery 5.7.0.)
_START = "import sys; from celery.bin.celery import celery as c; from tasks.main import app; c.params[0].default = app"
_CELERY = (*_PYTHON, "-c", f"{_START}; c(sys.argv[1:])")


@dataclass(frozen=True)
class Role:
    """A process to start: what is executed, in which environment."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)  # it may hold a password


def api(settings: "Settings", base: dict[str, str]) -> Role:
    refuse_open_api(settings, read_configuration(settings))
    command = (
        *(*_PYTHON, "-m", "uvicorn", "api.main:make_app", "--factory"),
        *("--app-dir", str(Path(cli.__file__).parents[1])),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--loop", "uvloop", "--http", "httptools", "--ws", "none"),
        *("--timeout-graceful-shutdown", str(API_GRACE_S)),
        *("--log-level", "warning", "--no-access-log", "--no-server-header"),
    )
    return Role("api", command, environment_of(settings, base))


def worker(settings: "Settings", base: dict[str, str], *, name: str = "worker") -> Role:
    read_configuration(settings)
    command = (
        *(*_CELERY, "--quiet", "worker", "--pool", "threads", "--concurrency", "2"),
        *("--hostname", f"{name}@%h", "--task-events", "--loglevel", settings.log_level),
        *("--without-gossip", "--without-mingle"),
    )
    return Role(name, command, environment_of(settings, base))


def drain(settings: "Settings", base: dict[str, str], *, name: str, grace_s: float | None) -> Role:
    within = () if grace_s is None else (f"{grace_s:g}",)
    return Role("drain", (*_PYTHON, "-m", "tasks.drain", name, *within), environment_of(settings, base))


def flower(settings: "Settings", base: dict[str, str]) -> Role:
    refuse_open_flower(settings, read_configuration(settings))
    environment = {name: value for name, value in environment_of(settings, base).items() if name != "FLOWER_PORT"}
    if settings.password:
        # Never on the command line, which everybody on the machine can read.
        environment["FLOWER_BASIC_AUTH"] = f"{USER}:{settings.password.get_secret_value()}"
    command = (
        *(*_CELERY, "--quiet", "flower", f"--address={settings.host}", f"--port={settings.flower_port}"),
        *(f"--max_tasks={FLOWER_TASKS}", "--read_only=True", "--logging=warning"),
        f"--conf={os.devnull}",  # else a flowerconfig.py where the command is typed would be run
    )
    return Role("flower", command, environment)


def migrate(settings: "Settings", base: dict[str, str]) -> Role:
    read_configuration(settings)
    return Role("migrate", (*_PYTHON, "-m", "storage.sql.migrate"), environment_of(settings, base))


def become(role: Role) -> None:
    """Turn this process into the role; it does not come back."""
    for remark in remarks_on(role.environment):
        print(f"promptq: warning: {remark}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(role.command[0], list(role.command), role.environment)
