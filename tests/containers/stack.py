"""The services of the Compose file as processes of this machine, with its own commands, variables and health checks.

Only addresses differ: containers have one each, and here all share the loopback. A Valkey and a Postgres from wheels
stand in for the two images.
"""

import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from cli import valkey
from tests.containers import files
from tests.containers.image import BuiltImage
from tests.support import postgres_keeper
from tests.support.waiting import eventually

#: A password may have any character but a comma; only letters would hide what is quoted wrongly.
_AWKWARD = "$p ä:@/#%'\"\\?"


class Stack:
    """A context manager: at its end nothing is left running."""

    def __init__(self, image: BuiltImage, directory: Path) -> None:
        self._directory = directory
        self.secrets = {
            "PROMPTQ_PASSWORD": secrets.token_hex(8) + "$%:@'",
            "POSTGRES_PASSWORD": secrets.token_hex(8) + _AWKWARD,
        }
        self.services: dict[str, Any] = files.compose(self.secrets)["services"]
        ports = _free_ports(4)
        self.redis_port, self.postgres_port, self.port, self.flower_port = ports
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.started: list[str] = []
        self.working_directory = directory / "var"
        self._postgres_directory: Path | None = None
        self._image_path = f"{image.programs}:{self._stand_ins()}:{postgres_keeper.find_programs()}:/usr/bin:/bin"

    def start(self) -> None:
        """Start all services, each when what it depends on is as far as the file says; wait until all are healthy."""
        self.working_directory.mkdir()
        while waiting := [name for name in self.services if name not in self.started]:
            ready = [name for name in waiting if set(self._conditions(name)) <= set(self.started)]
            assert ready, f"{waiting} wait for one another"
            for name in ready:
                for other, condition in self._conditions(name).items():
                    self._await(other, condition)
                self._start(name)
                self.started.append(name)
        for name in self.started:
            if "healthcheck" in self.services[name]:
                self._await(name, "service_healthy")

    def is_healthy(self, name: str) -> bool:
        """Run the health check of a service once, as long as it may take."""
        check = self.services[name]["healthcheck"]
        kind, *command = [self._here(word) for word in check["test"]]
        match kind, command:
            case "CMD", ["valkey-cli", *rest]:
                first, *others = rest
                command = ["valkey-cli", first, "-p", str(self.redis_port), *others]
            case "CMD", _:
                pass
            case "CMD-SHELL", [text]:
                command = ["/bin/sh", "-c", text]
            case _:
                raise AssertionError(check)
        try:
            ran = subprocess.run(
                command,
                env=self.environment(name),
                cwd=self.working_directory,
                capture_output=True,
                timeout=files.seconds(check["timeout"]),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return ran.returncode == 0

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a service's processes, health checks among them, and nothing of the caller's."""
        given = {key: self._here(value) for key, value in self.services[name].get("environment", {}).items()}
        ports = {"PROMPTQ_PORT": str(self.port), "PROMPTQ_FLOWER_PORT": str(self.flower_port)}
        return {
            **files.assignments(files.stages()[-1]),
            "PATH": self._image_path,
            "HOME": str(self.working_directory),
            "PROMPTQ_DATA_DIR": str(self.working_directory),
            "PGPORT": str(self.postgres_port),
            **({} if name in {"redis", "postgres"} else ports),
            **given,
        }

    def run_again(self, name: str) -> None:
        """Run a service that ends by itself once more."""
        self._start(name)
        self._await(name, "service_completed_successfully")

    def log(self, name: str) -> str:
        """What a service has printed; Postgres prints to the test's own output."""
        log = self._directory / f"{name}.log"
        return log.read_text() if log.exists() else ""

    def stop(self, name: str) -> int:
        """SIGTERM, and the exit code, if the service ends within its grace period.

        Raises:
            subprocess.TimeoutExpired: it does not.
        """
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        return process.wait(files.seconds(self.services[name].get("stop_grace_period", "10s")))

    def _conditions(self, name: str) -> dict[str, str]:
        depends_on = self.services[name].get("depends_on", {})
        return {other: each["condition"] for other, each in depends_on.items()}

    def _await(self, name: str, condition: str) -> None:
        match condition:
            case "service_healthy":
                eventually(lambda: self._must_be_healthy(name), 60, what=f"{name} is healthy")
            case "service_completed_successfully":
                assert self.processes[name].wait(60) == 0, self.log(name)
            case _:
                raise AssertionError(condition)

    def _must_be_healthy(self, name: str) -> bool:
        assert self.is_healthy(name), self.log(name)
        return True

    def _start(self, name: str) -> None:
        service = self.services[name]
        match name:
            case "redis":
                program, *options = service["command"]
                assert program == "valkey-server"
                place = ("--bind", "127.0.0.1", "--port", str(self.redis_port), "--dir", str(self.working_directory))
                self._run(name, [str(valkey.find_server()), *options, *place])
            case "postgres":
                self._start_postgres(service)
            case _:
                entry = files.only(files.stages()[-1], "ENTRYPOINT")
                assert entry == '["promptq"]'
                self._run(name, ["promptq", *service["command"]])

    def _run(self, name: str, command: list[str]) -> None:
        environment = self.environment(name)
        program = shutil.which(command[0], path=environment["PATH"])
        assert program is not None, f"{command[0]} is not in the image"
        with (self._directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [program, *command[1:]],
                env=environment,
                cwd=self.working_directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _start_postgres(self, service: dict[str, Any]) -> None:
        """As the image's entry point does: a server that wants a password over TCP, a role, and its database."""
        program, *options = service["command"]
        assert program == "postgres"
        assert set(options[::2]) <= {"-c"}
        directory = Path(tempfile.mkdtemp(prefix="promptq-pg-"))  # short, for its socket
        self._postgres_directory = directory
        directory.chmod(0o711)
        access = directory / "access"
        access.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        access.chmod(0o644)
        self.processes["postgres"] = postgres_keeper.start(
            directory,
            {
                **postgres_keeper.SETTINGS,
                **dict(option.split("=", 1) for option in options[1::2]),
                "listen_addresses": "127.0.0.1",
                "port": str(self.postgres_port),
                "hba_file": str(access),
            },
        )
        given = service["environment"]
        role, database = sql.Identifier(given["POSTGRES_USER"]), sql.Identifier(given["POSTGRES_DB"])
        with eventually(self._postgres_admin, 30, what="Postgres answers") as connection:
            password = sql.Literal(given["POSTGRES_PASSWORD"])
            connection.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(role, password))
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))

    def _postgres_admin(self) -> psycopg.Connection | None:
        try:
            return psycopg.connect(
                host=str(self._postgres_directory),
                port=self.postgres_port,
                user="postgres",
                dbname="postgres",
                autocommit=True,
            )
        except psycopg.OperationalError:
            return None

    def _here(self, text: str) -> str:
        """Where containers have addresses of their own, ports of the loopback."""
        for there, here in {
            "redis:6379": f"127.0.0.1:{self.redis_port}",
            "postgres:5432": f"127.0.0.1:{self.postgres_port}",
            "127.0.0.1:4096": f"127.0.0.1:{self.port}",
            "127.0.0.1:5555": f"127.0.0.1:{self.flower_port}",
        }.items():
            text = text.replace(there, here)
        return "127.0.0.1" if text == "0.0.0.0" else text

    def _stand_ins(self) -> Path:
        """A directory with `valkey-cli`: the machine's, or one that asks the same."""
        directory = self._directory / "bin"
        directory.mkdir()
        found = shutil.which("valkey-cli") or shutil.which("redis-cli")
        if found:
            (directory / "valkey-cli").symlink_to(found)
        else:
            script = Path(__file__).with_name("valkey_cli.py")
            (directory / "valkey-cli").write_text(f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n')
            (directory / "valkey-cli").chmod(0o755)
        return directory

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for name, process in self.processes.items():
            if process.poll() is None:
                # Killed, Postgres would leave its children; so told, it leaves at once.
                process.send_signal(signal.SIGQUIT if name == "postgres" else signal.SIGKILL)
                process.wait()
        if self._postgres_directory is not None:
            shutil.rmtree(self._postgres_directory, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports
