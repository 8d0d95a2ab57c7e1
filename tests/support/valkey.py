"""A real Valkey for tests, started the way `promptq up` starts its own, that a test may kill and start again."""

import signal
import subprocess
from pathlib import Path

import redis

from cli import valkey
from tests.support.waiting import eventually


class ValkeyServer:
    """One server on a private unix socket. It keeps nothing: after a restart it is empty."""

    def __init__(self, directory: Path) -> None:
        self.socket, self._made = valkey.socket_for(directory)
        self._command = valkey.command(valkey.find_server(), self.socket)
        self._log = directory / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL as redis-py takes it, `unix:///…`."""
        return valkey.url_of(self.socket)

    @property
    def broker_url(self) -> str:
        """The same, as Celery takes it."""
        return f"redis+socket://{self.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it and wait until it answers. Nothing happens if it runs."""
        if self.is_running:
            return
        self.socket.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        eventually(lambda: valkey.answers(self.socket), what="Valkey answers")

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)
        self.socket.unlink(missing_ok=True)
        if self._made is not None:
            self._made.rmdir()

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.flushall()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nothing is answered. `thaw` undoes it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.is_running:
            assert self._process is not None
            self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """SIGKILL, then start anew, empty, on the same socket."""
        self.kill()
        self.start()

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if number is not signal.SIGKILL:
            self.thaw()
        self._process.send_signal(number)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
