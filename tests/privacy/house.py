"""All of promptq as processes, with every place in reach where a word could be left: files, logs, broker, Flower.

Redis is two servers here: what goes over the broker alone must not hold a word, so everything that it is told is kept.
"""

import base64
import contextlib
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx2
import redis

from cli import roles
from domain.settings import Settings
from tests.support.commands import Command, clean_environment
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

PATIENCE_S = 40.0


class House:
    """One API, one worker, Flower, two Valkeys, over a migrated database. A context manager."""

    def __init__(self, directory: Path, *, database: str, free_port: Callable[[], int]) -> None:
        self.directory = directory
        self.files = directory / "files"
        self.logs = directory / "logs"
        for each in (self.files, self.logs, directory / "store", directory / "broker"):
            each.mkdir()
        self.store = ValkeyServer(directory / "store")
        self.broker = ValkeyServer(directory / "broker")
        self.password = secrets.token_hex()
        self._metrics_port = free_port()
        self._given = {
            "data_dir": str(self.files),
            "database_url": database,
            "redis_url": self.store.url,
            "broker_url": self.broker.url,
            "port": str(free_port()),
            "flower_port": str(free_port()),
            "password": self.password,
            "metrics_port": str(self._metrics_port),
            "log_level": "DEBUG",
            "echo_faults": "1",
            "lease": "2",
            "grace": "1",
        }
        self._members: dict[str, Command] = {}
        self.heard = Monitor(self.broker)
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{self._given['port']}", auth=("opencode", self.password), timeout=PATIENCE_S
        )

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begin(self) -> None:
        for server in (self.store, self.broker):
            server.start()
        self.heard.start()
        self.start("migrate", roles.migrate).ends(PATIENCE_S)
        for name, role in (("api", roles.api), ("worker", roles.worker), ("flower", roles.flower)):
            self.start(name, role)
        eventually(lambda: self._answers(self.client), PATIENCE_S, what="the API answers")
        with self.flower() as flower:
            eventually(lambda: self._answers(flower), PATIENCE_S, what="Flower answers")
        self._members["worker"].says("ready.", PATIENCE_S)

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for member in self._members.values():
            member.__exit__()
        self.heard.stop()
        for server in (self.store, self.broker):
            server.stop()

    def start(self, name: str, role: Callable[[Settings, dict[str, str]], roles.Role]) -> Command:
        """Start a role, or start it again."""
        environment = clean_environment(**{name.upper(): value for name, value in self._given.items()})
        environment["TMPDIR"] = str(self.files)
        made = role(Settings.model_validate(self._given), environment)
        command = Command(*made.command[1:], output=self.logs / f"{name}.log", environment=made.environment)
        self._members[name] = command
        return command

    def kill_worker(self) -> None:
        """SIGKILL to the worker, and another in its place."""
        self._members["worker"].process.kill()
        self._members["worker"].ends()
        self.start("worker", roles.worker)

    def end(self) -> None:
        """Stop all but the Redis servers in good order: what they would write at their end is written."""
        for name in ("api", "worker", "flower"):
            self._members[name].process.terminate()
        for name in ("api", "worker", "flower"):
            self._members[name].ends(PATIENCE_S)

    def flower(self) -> httpx2.Client:
        """What asks Flower."""
        url = f"http://127.0.0.1:{self._given['flower_port']}"
        return httpx2.Client(base_url=url, auth=("opencode", self.password), timeout=PATIENCE_S)

    def pages(self) -> Iterator[tuple[str, str]]:
        """All that Flower shows, and the figures of API and worker: (where, text)."""
        with self.flower() as flower:
            tasks: Mapping[str, Any] = flower.get("/api/tasks", params={"limit": 10_000}).json()
            paths = ["/api/tasks", "/api/workers?refresh=1", "/workers", "/tasks", "/broker", "/metrics"]
            for path in [*paths, *(f"/task/{uuid}" for uuid in tasks), *(f"/api/task/info/{uuid}" for uuid in tasks)]:
                yield f"Flower's {path}", flower.get(path).text
        for path in ("/metrics", "/status"):
            yield f"the API's {path}", self.client.get(path).text
        yield "the worker's /metrics", httpx2.get(f"http://127.0.0.1:{self._metrics_port}/metrics").text

    def kept_in_redis(self) -> Iterator[tuple[str, bytes, int]]:
        """Everything in the store's Redis: (key, content, time to live in ms, -1 for ever)."""
        with redis.Redis(unix_socket_path=str(self.store.socket)) as client:
            for key in client.scan_iter(count=1000):
                content = b"".join(_parts(client, key))
                yield key.decode(), content, int(client.pttl(key))

    @staticmethod
    def _answers(client: httpx2.Client) -> bool:
        try:
            return client.get("/healthz").status_code < 500
        except httpx2.TransportError:
            return False


def _parts(client: Any, key: bytes) -> Iterator[bytes]:
    match client.type(key):
        case b"string":
            yield client.get(key) or b""
        case b"list":
            yield from client.lrange(key, 0, -1)
        case b"set":
            yield from client.smembers(key)
        case b"hash":
            for name, value in client.hgetall(key).items():
                yield from (name, value)
        case b"zset":
            yield from client.zrange(key, 0, -1)
        case b"stream":
            for _, fields in client.xrange(key):
                for name, value in fields.items():
                    yield from (name, value)


class Monitor:
    """All that a Redis is told, as it writes it down itself; what Celery has packed is unpacked."""

    def __init__(self, server: ValkeyServer) -> None:
        self._server = server
        self._told = bytearray()
        self._socket = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._socket.connect(str(self._server.socket))
        self._socket.sendall(b"MONITOR\r\n")
        assert self._socket.recv(64).startswith(b"+OK")
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def texts(self) -> list[str]:
        """Every command so far, and every base64 text in it as what it stands for."""
        lines = bytes(self._told).decode("utf-8", "replace").splitlines()
        return [*lines, *(unpacked for line in lines for unpacked in _unpacked(line))]

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while more := self._socket.recv(65536):
                self._told += more


def _unpacked(line: str) -> Iterator[str]:
    """Celery's messages in Redis hold their bodies as base64."""
    for piece in line.replace("\\", "").split('"'):
        if len(piece) >= 24 and len(piece) % 4 == 0:
            try:
                yield base64.b64decode(piece, validate=True).decode("utf-8", "replace")
            except ValueError:
                continue
