"""promptq's processes as a fleet has them, each on its own, to be killed, frozen and started again by a test.

Nobody restarts what a test kills but the test. Everything is ended, by SIGKILL, when the test is over.
"""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import httpx2

from cli import roles
from cli.roles import Role
from domain.settings import Settings
from tests.crash.executor import PROVIDER, VARIABLE, register
from tests.support.commands import Command, clean_environment
from tests.support.waiting import eventually

LEASE_S = 1.0

#: Seconds that a process may take to start, or to die of what it is armed with, on a machine that does much else.
PATIENCE_S = 40.0


class Member:
    """A process of the fleet."""

    def __init__(self, name: str, command: Command, failpoints: str) -> None:
        self.name = name
        self.command = command
        #: What it is armed with.
        self.failpoints = failpoints

    @property
    def is_alive(self) -> bool:
        return self.command.process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.command.process.kill()
        self.command.process.wait()

    @property
    def pid(self) -> int:
        return self.command.process.pid

    def freeze(self) -> None:
        self.command.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.command.send(signal.SIGCONT)

    def until_frozen(self) -> None:
        """Wait until its failpoint has stopped it."""
        eventually(self._has_stopped, PATIENCE_S, what=f"{self.name} freezes")

    def _has_stopped(self) -> bool:
        number, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        return number == self.pid and os.WIFSTOPPED(status)

    @property
    def is_frozen(self) -> bool:
        """Whether it stands still, by Linux's record: whoever else waits for its end may go on waiting."""
        try:
            status = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii")
        except FileNotFoundError:
            return False
        return status.rpartition(")")[2].split()[0] == "T"

    def dies_by_itself(self) -> None:
        """Wait until its failpoint has killed it."""
        code = self.command.ends(PATIENCE_S)
        assert code == -signal.SIGKILL, (
            f"{self.name} ({self.failpoints}) ended with {code}:\n{self.command.output[-4000:]}"
        )


#: Where the code is that the processes run: this tree's, also where another is installed.
ROOT = Path(__file__).parents[2]


class Fleet:
    """One API, any number of workers, over one database and one Valkey. A context manager."""

    def __init__(
        self,
        directory: Path,
        *,
        database: str,
        redis: str,
        model: str,
        port: int,
        settings: Mapping[str, str] | None = None,
        installed: str | None = None,
    ) -> None:
        """Start nothing yet. `settings` are more of promptq's, `installed` a directory with an executor in it."""
        self._directory = directory
        self._options = {
            "data_dir": str(directory / "data"),
            "database_url": database,
            "redis_url": redis,
            "port": str(port),
            "model": f"{PROVIDER}/model",
            "concurrency": "2",
            "lease": str(LEASE_S),
            "grace": "2",
            **(settings or {}),
        }
        self._more = {
            "PYTHONPATH": os.pathsep.join((installed or register(directory / "installed"), str(ROOT))),
            VARIABLE: model,
        }
        self.database = database
        self.url = f"http://127.0.0.1:{port}"
        self.members: list[Member] = []

    def api(self, failpoints: str = "") -> Member:
        """Start the API, and wait until it answers."""
        member = self.start(roles.api, "api", failpoints)
        eventually(lambda: not member.is_alive or self._answers(), PATIENCE_S, what="the API answers")
        assert member.is_alive, member.command.output
        return member

    def worker(self, failpoints: str = "", *, name: str | None = None) -> Member:
        """Start a worker, under a name that no other has had if none is given; it works soon."""
        name = name or f"worker-{len(self.members)}"
        return self.start(lambda settings, base: roles.worker(settings, base, name=name), name, failpoints)

    def migrate(self, failpoints: str = "") -> Member:
        """Start to bring the database to the schema."""
        return self.start(roles.migrate, "migrate", failpoints)

    def said(self, word: str) -> int:
        """Count how often a word is in what the processes have logged."""
        return sum(member.command.output.count(word) for member in self.members)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            if member.is_alive:
                member.kill()

    def start(
        self,
        role: Callable[[Settings, dict[str, str]], Role],
        name: str,
        failpoints: str = "",
        *,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Member:
        """Start a process, with settings and variables of its own if there are any."""
        options = {**self._options, **(settings or {})}
        armed = {"PROMPTQ_FAILPOINTS": failpoints} if failpoints else {}
        own = {name.upper(): value for name, value in options.items()}
        base = {**clean_environment(**own), **self._more, **armed, **(environment or {})}
        made = role(Settings.model_validate(options), base)
        output = self._directory / f"{len(self.members)}-{name}.log"
        member = Member(name, Command(*made.command[1:], output=output, environment=made.environment), failpoints)
        self.members.append(member)
        return member

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/healthz", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False
