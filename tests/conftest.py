"""Fixtures that many tests share: real servers, each private to the test run and stopped at its end."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import postgres as postgres_support
from tests.support.postgres import PostgresServer
from tests.support.valkey import ValkeyServer


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[ValkeyServer]:
    """The test worker's own Valkey. Tests take `valkey`, which is this one, emptied."""
    with tempfile.TemporaryDirectory(prefix="promptq-test-") as directory:
        server = ValkeyServer(Path(directory))
        server.start()
        yield server
        server.stop()


@pytest.fixture
def valkey(valkey_server: ValkeyServer) -> ValkeyServer:
    """A real, empty Valkey on a private unix socket. A test may kill, freeze and restart it."""
    valkey_server.thaw()
    valkey_server.start()
    valkey_server.flush()
    return valkey_server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The test run's Postgres, shared by its workers."""
    parent = Path(tempfile.gettempdir())
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"pid{os.getpid()}"
    server = postgres_support.join(parent / f"promptq-pg-{run[:12]}")
    yield server
    server.leave()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """An empty Postgres database of the test's own, as a URL for SQLAlchemy."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives ports of loopback that were free a moment ago, each once."""
    given: set[int] = set()

    def give() -> int:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port: int = probe.getsockname()[1]
            if port not in given:
                given.add(port)
                return port

    return give
