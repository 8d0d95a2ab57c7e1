"""No role says a secret that it was given, nor shows it in its command line, though all that it needs is away."""

from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.support.commands import Command, clean_environment
from tests.support.keys import bearer
from tests.support.waiting import eventually

SECRET = "zanzibar-quagga"

pytestmark = pytest.mark.xdist_group("up")


@pytest.fixture
def start(tmp_path: Path, free_port: Callable[[], int]) -> Callable[..., Command]:
    """Starts a role whose database, Redis and broker are at ports where nobody listens."""

    def begin(*arguments: str, **more: str) -> Command:
        away = f"{SECRET}@127.0.0.1:{free_port()}"
        environment = clean_environment(
            DATABASE_URL=f"postgresql://me:{away}/promptq",
            REDIS_URL=f"redis://:{away}/0",
            BROKER_URL=f"amqp://me:{away}//",
            PASSWORD=SECRET,
            DATA_DIR=str(tmp_path / "data"),
            LOG_LEVEL="DEBUG",
            **more,
        )
        return Command("-m", "cli.main", *arguments, output=tmp_path / "output", environment=environment)

    return begin


def shows_nothing(command: Command) -> bool:
    """Whether neither what it has said nor its command line has the secret."""
    line = Path(f"/proc/{command.process.pid}/cmdline")
    listed = line.read_bytes().decode() if line.exists() else ""
    return SECRET not in command.output and SECRET not in listed


def test_an_api_says_no_secret(start: Callable[..., Command], free_port: Callable[[], int]) -> None:
    port = free_port()
    with start("api", "--port", str(port)) as api, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:

        def ready() -> httpx2.Response:
            try:
                return client.get("/readyz", headers=bearer(SECRET))
            except httpx2.TransportError:
                raise AssertionError from None

        refused = eventually(ready, 30)
        assert refused.status_code == 503
        assert SECRET not in refused.text
        for wrong in ("x", SECRET[:-1], f"promptq_abc_{SECRET}"):
            assert SECRET not in client.get("/session", headers=bearer(wrong)).text
        said = api.says("store_unavailable")
        assert f"promptq_abc_{SECRET}" not in said
        assert shows_nothing(api)


def test_a_worker_says_no_secret(start: Callable[..., Command]) -> None:
    with start("worker") as worker:
        worker.says("store_unavailable")
        worker.says("Cannot connect to amqp://me:***@127.0.0.1")
        assert shows_nothing(worker)


def test_flower_says_no_secret(start: Callable[..., Command], free_port: Callable[[], int]) -> None:
    port = free_port()
    with start("flower", "--port", str(port)) as flower:

        def healthy() -> bool:
            try:
                return httpx2.get(f"http://127.0.0.1:{port}/healthcheck").is_success
            except httpx2.TransportError:
                return False

        eventually(healthy, 30)
        assert httpx2.get(f"http://127.0.0.1:{port}/").status_code == 401
        assert SECRET not in httpx2.get(f"http://127.0.0.1:{port}/broker", auth=("opencode", SECRET)).text
        assert shows_nothing(flower)


def test_a_migration_says_no_secret(start: Callable[..., Command]) -> None:
    with start("migrate") as migrate:
        assert migrate.ends(60) == 1
        assert "promptq migrate: the database is unavailable" in migrate.output
        assert shows_nothing(migrate)
