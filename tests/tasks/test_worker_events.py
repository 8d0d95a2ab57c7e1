"""What real Celery workers tell those who watch."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.jobs import State
from storage import redis_clients
from storage.notices.names import Names
from storage.notices.wire import decode, split
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.workers import Fleet

pytestmark = pytest.mark.xdist_group("workers")


@pytest.fixture
def fleet(valkey: ValkeyServer, migrated_sqlite: Path, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet.make(migrated_sqlite, tmp_path, valkey.url)
    yield made
    made.close()


class Listener:
    """Hears a tenant's events."""

    def __init__(self, url: str, prefix: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._names = Names(prefix)
        client: Any = redis_clients.sync_client(url)
        self._client = client
        self._subscription = client.pubsub()
        self._subscription.subscribe(self._names.events("default"))
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def watch(self, session_id: str) -> None:
        """Say that somebody follows a session."""
        self._client.set(self._names.watched("default"), "", ex=600)
        self._client.set(self._names.watched_session("default", session_id), "", ex=600)

    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event["properties"] for event in self.events if event["type"] == kind]

    def close(self) -> None:
        self._ending.set()
        self._thread.join(5)
        self._subscription.close()
        self._client.close()

    def _listen(self) -> None:
        while not self._ending.is_set():
            message = self._subscription.get_message(timeout=0.1)
            if message is not None and message["type"] == "message":
                place, data = split(message["data"])
                self.events += map(json.loads, decode("default", data, place).lines)


@pytest.fixture
def listener(fleet: Fleet, valkey: ValkeyServer) -> Iterator[Listener]:
    made = Listener(valkey.url, fleet.settings.redis_prefix)
    yield made
    made.close()


def test_a_worker_tells_who_watches_and_makes_no_events_for_nobody(fleet: Fleet, listener: Listener) -> None:
    fleet.worker().says("ready.")
    fleet.reaches(fleet.admit("to nobody"), State.SUCCEEDED)
    assert listener.events == []
    listener.watch("ses_b")
    fleet.reaches(fleet.admit("to nobody"), State.SUCCEEDED)
    job = fleet.reaches(fleet.admit("to somebody", "ses_b"), State.SUCCEEDED)
    eventually(lambda: listener.types()[-1:] == ["session.updated"] and "session.idle" in listener.types())
    assert listener.types() == [
        "session.updated",
        "message.updated",
        "message.part.updated",
        "session.status",
        "message.updated",
        "message.part.updated",
        "message.part.updated",
        "message.part.updated",
        "message.updated",
        "session.status",
        "session.idle",
        "session.updated",
    ]
    assert listener.of("message.updated")[-1]["info"]["id"] == job.assistant_id


def test_what_a_killed_worker_had_told_of_an_answer_is_withdrawn_by_the_next(fleet: Fleet, listener: Listener) -> None:
    listener.watch("ses_a")
    first = fleet.worker(name="first")
    job = fleet.admit("one two three", echo={"stall": True})
    eventually(lambda: listener.of("message.part.delta"), timeout=30)
    running = fleet.job(job)
    assert [delta["delta"] for delta in listener.of("message.part.delta")] == ["one "]
    first.send(signal.SIGKILL)
    first.ends()
    fleet.worker(name="second")
    eventually(lambda: listener.of("message.removed"), timeout=30)
    assert listener.of("message.removed")[0]["messageID"] == running.assistant_id
    eventually(lambda: len(listener.of("message.part.delta")) == 2, timeout=30)
    assert listener.of("message.part.delta")[1]["messageID"] != running.assistant_id
