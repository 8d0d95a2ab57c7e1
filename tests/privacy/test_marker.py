"""No byte of what is said in an ephemeral session is left anywhere, and the search that finds none would find it.

`FAULTS` I8: driven through a real API, worker, Valkey, Flower and either database.
"""

import contextlib
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
import sqlalchemy as sa
from celery import Celery

from tests.privacy.house import House
from tests.support.keepers import migrated
from tests.support.postgres import PostgresServer
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("operations")

TTL_S = 2


class Words:
    """A marker that nobody else writes, and the prompts that hold it."""

    def __init__(self, name: str) -> None:
        self.marker = f"{name}-{secrets.token_hex(8)}"

    def body(self, **fields: Any) -> dict[str, Any]:
        echo = fields.pop("echo", {})
        return {
            "parts": [{"type": "text", "text": f"say {self.marker} aloud"}],
            "system": f"system {self.marker}",
            "metadata": {"echo": echo, "note": self.marker},
            **fields,
        }


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return migrated(f"sqlite:///{tmp_path / 'promptq.db'}")
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def house(database: str, tmp_path: Path, free_port: Callable[[], int]) -> Iterator[House]:
    (tmp_path / "house").mkdir()
    with House(tmp_path / "house", database=database, free_port=free_port) as made:
        yield made


class Watching:
    """Clients of both kinds of streams, so that there are events to be left somewhere. A context manager."""

    def __init__(self, house: House, *sessions: str) -> None:
        self._house = house
        self._paths = ["/event", "/global/event", *(f"/session/{session}/event" for session in sessions)]
        self._clients: list[httpx2.Client] = []
        self.heard: list[str] = []

    def __enter__(self) -> Self:
        for path in self._paths:
            client = httpx2.Client(base_url=self._house.client.base_url, auth=("opencode", self._house.password))
            self._clients.append(client)
            threading.Thread(target=self._follow, args=(client, path), daemon=True).start()
        eventually(lambda: sum("server.connected" in line for line in self.heard) >= 2, 20)
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()

    def _follow(self, client: httpx2.Client, path: str) -> None:
        ended = contextlib.suppress(httpx2.HTTPError, httpx2.StreamError, RuntimeError)
        with ended, client.stream("GET", path, timeout=60) as answer:
            self.heard.extend(answer.iter_lines())


def job_of(answer: httpx2.Response) -> str:
    assert answer.status_code == 204, answer.text
    return str(answer.headers["location"])


def live(house: House, words: Words, *, ephemeral: bool) -> None:
    """Do with sessions all that can be done with them; the words are in whatever can hold words."""
    prefix = "ses_tmp_" if ephemeral else "ses_"
    extra: dict[str, Any] = {"ephemeral": True, "ttl": TTL_S} if ephemeral else {}
    client = house.client

    def name(kind: str) -> str:
        return f"{prefix}{kind}"

    def state_of(job: str) -> str:
        return str(client.get(job).json()["state"])

    def becomes(job: str, *states: str) -> None:
        eventually(lambda: state_of(job) in states, 30, what=f"{job} becomes {states}")

    def prompt(kind: str, **fields: Any) -> str:
        ttl = {"ttl": TTL_S} if ephemeral else {}
        return job_of(client.post(f"/session/{name(kind)}/prompt_async", json=words.body(**ttl, **fields)))

    created = client.post("/session", json={"id": name("titled"), "title": words.marker, **extra})
    assert created.status_code == 200, created.text
    assert client.patch(f"/session/{name('titled')}", json={"title": f"{words.marker}!"}).status_code == 200
    answered = client.post(f"/session/{name('titled')}/message", json=words.body())
    assert words.marker in answered.text
    assert client.post(f"/session/{name('titled')}/message", json=words.body(noReply=True)).status_code == 200
    assert words.marker in client.get(f"/session/{name('titled')}/message").text
    fork = client.post(
        f"/session/{name('titled')}/fork", json={"id": name("forked"), **({"ttl": TTL_S} if ephemeral else {})}
    )
    assert fork.status_code in (200, 400), fork.text

    failed = prompt("fails", echo={"fail": "permanent"})
    retried = prompt("retried", echo={"fail": "transient", "failTimes": 1})
    timed_out = prompt("slow", timeout=0.3, maxAttempts=1, echo={"stall": True})
    stalled = prompt("cancelled", echo={"stall": True})
    behind = prompt("cancelled")
    expired = prompt("cancelled", expiresAt=1)
    becomes(stalled, "running")
    assert client.post(f"{behind}/cancel").status_code == 200
    assert client.post(f"{stalled}/cancel").status_code == 200
    aborted = prompt("aborted", echo={"stall": True})
    becomes(aborted, "running")
    assert client.post(f"/session/{name('aborted')}/abort").status_code == 200
    lost = prompt("lost", echo={"delay": 1})
    becomes(lost, "running")
    house.kill_worker()
    becomes(lost, "succeeded")
    for job, state in ((failed, "failed"), (retried, "succeeded"), (timed_out, "failed")):
        if not ephemeral:  # an ephemeral one may be gone by now, as it was promised
            becomes(job, state)
    if not ephemeral:
        becomes(expired, "expired")
    deleted = prompt("deleted", echo={"stall": True})
    becomes(deleted, "running")
    assert client.delete(f"/session/{name('deleted')}").status_code == 200
    wrong = {"parts": [{"type": words.marker, "text": words.marker}], words.marker: 1, "messageID": "no"}
    assert client.post(f"/session/{name('wrong')}/prompt_async", json=wrong).status_code == 400
    assert (
        client.post(f"/session/{name('wrong')}/prompt_async", content=f'{{"parts": "{words.marker}').status_code == 400
    )


def gone(house: House, words: Words) -> bool:
    """Whether Redis holds the words no more; while it does, only under an expiry."""
    found = [(key, ttl) for key, content, ttl in house.kept_in_redis() if words.marker.encode() in content]
    assert all(ttl > 0 for _, ttl in found), found
    return not found


def test_nothing_of_an_ephemeral_session_is_left_and_a_durable_ones_words_are_found(
    house: House, database: str, postgres_server_files: Callable[[], list[Path]]
) -> None:
    passing, control = Words("zanzibar"), Words("kilimanjaro")
    with Watching(house, "ses_tmp_titled", "ses_titled") as watching:
        live(house, passing, ephemeral=True)
        live(house, control, ephemeral=False)
        pages = list(house.pages())
        # The streams told of both, so what they leave behind is searched for in earnest.
        assert passing.marker in " ".join(watching.heard)
    eventually(lambda: gone(house, passing), 60, what="Redis has let go of the ephemeral words")
    house.end()

    tables = "".join(rows_of(database))
    files = [path for path in house.directory.rglob("*") if path.is_file()]
    raw = [*files, *database_files(database), *postgres_server_files()]
    logs = {path.name: path.read_text(errors="replace") for path in house.logs.iterdir()}
    assert {"api.log", "worker.log", "flower.log"} <= set(logs)
    assert len(house.heard.texts()) > 50
    assert any('"task": "promptq' in page or "promptq.prompt" in page for _, page in pages)

    assert [where for where, page in pages if passing.marker in page] == []
    assert [name for name, text in logs.items() if passing.marker in text] == []
    assert [text[:200] for text in house.heard.texts() if passing.marker in text] == []
    assert passing.marker not in tables
    assert [path for path in raw if passing.marker.encode() in path.read_bytes()] == []

    assert control.marker in tables
    assert any(control.marker.encode() in path.read_bytes() for path in raw)
    assert [where for where, page in pages if control.marker in page] == []
    assert [name for name, text in logs.items() if control.marker in text] == []
    assert [text[:200] for text in house.heard.texts() if control.marker in text] == []


def rows_of(database: str) -> Iterator[str]:
    """All rows of all tables, as text."""
    engine = sa.create_engine(database)
    with engine.connect() as connection:
        for table in sa.inspect(connection).get_table_names():
            for row in connection.execute(sa.text(f'SELECT * FROM "{table}"')):
                yield json.dumps([str(value) for value in row], ensure_ascii=False)
    engine.dispose()


def database_files(database: str) -> list[Path]:
    """Of SQLite: the file, and those beside it."""
    if not database.startswith("sqlite"):
        return []
    path = Path(database.removeprefix("sqlite:///"))
    return [each for each in path.parent.glob(f"{path.name}*") if each.is_file()]


@pytest.fixture
def postgres_server_files(request: pytest.FixtureRequest, database: str) -> Callable[[], list[Path]]:
    """Of Postgres: all files of the server after a checkpoint, its write-ahead log too."""

    def files() -> list[Path]:
        if database.startswith("sqlite"):
            return []
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with server.admin() as admin:
            admin.execute("CHECKPOINT")
            (place,) = admin.execute("SHOW data_directory").fetchone() or ("",)
        return [path for path in Path(place).rglob("*") if path.is_file() and not re.search(r"/pg_stat", str(path))]

    return files


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_search_through_the_broker_would_find_a_task_that_holds_words(house: House) -> None:
    """Lest it should pass because it cannot read what Celery writes."""
    words = Words("everest")
    caller = Celery("caller", broker=house.broker.broker_url, set_as_current=False)
    caller.conf.broker_transport_options = {"global_keyprefix": "promptq:"}
    caller.send_task("promptq.admit", ["ses_told", words.body()], queue="promptq", argsrepr="…")
    eventually(lambda: any(words.marker in text for text in house.heard.texts()), 20)
    eventually(lambda: words.marker in house.client.get("/session/ses_told/message").text, 20)
    shown = list(house.pages())
    assert [where for where, page in shown if words.marker in page] == []
    assert [path.name for path in house.logs.iterdir() if words.marker in path.read_text(errors="replace")] == []
