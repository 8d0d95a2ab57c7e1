"""What only ephemeral sessions promise: a time to live that slides, one expiry for all keys, nothing left behind."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from domain import events
from domain.errors import SessionNotFound, StoreUnavailable
from domain.events import Bundle
from domain.jobs import Outcome
from domain.prompts import Admission
from domain.sessions import Creation
from storage import redis_clients
from storage.ephemeral.store import EphemeralStore
from storage.notices import Notices
from storage.notices.publishing import Ask
from tests.storage.actors import Worker, admit, admit_job
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

MARKER = "the quick brown marker"
WEEK_MS = 7 * 86_400_000


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    made = redis_clients.sync_client(valkey.url)
    yield made
    made.close()


@pytest.fixture
def store(client: redis.Redis) -> EphemeralStore:
    return EphemeralStore(client, default_ttl_ms=60_000)


@pytest.fixture
def worker(store: EphemeralStore) -> Worker:
    return Worker(store)


@pytest.fixture(autouse=True)
def every_key_with_content_has_an_expiry(client: redis.Redis) -> Iterator[None]:
    """Fails any test that leaves a key with content and without an expiry."""
    yield
    assert [key for key in _keys_with_content(client) if client.pttl(key) < 0] == []


def _keys_with_content(client: redis.Redis) -> list[bytes]:
    found = []
    for key in client.scan_iter():
        kind = client.type(key)
        whole = client.dump(key) or b""
        is_of_session = (kind == b"hash" and b":s:" in key) or any(mark in key for mark in (b":o:", b":at:", b":h:"))
        if MARKER.encode() in whole or is_of_session:
            found.append(key)
    return found


def _expiries(client: redis.Redis) -> set[int]:
    return {int(client.pexpiretime(key.decode())) for key in _keys_with_content(client)}


def test_all_keys_of_a_session_carry_one_expiry(store: EphemeralStore, client: redis.Redis, worker: Worker) -> None:
    for _ in range(3):
        admit(store, "ses_tmp_a", MARKER, idempotency_key=None)
    assert len(_keys_with_content(client)) == 3
    assert len(_expiries(client)) == 1
    worker.run()
    assert len(_expiries(client)) == 1


def test_an_open_job_keeps_its_session_for_a_week_and_its_end_starts_the_ttl(
    store: EphemeralStore, client: redis.Redis, worker: Worker
) -> None:
    admit(store, "ses_tmp_a", MARKER, ttl_ms=5_000)
    assert client.pttl("promptq:tmp:s:default:ses_tmp_a") > WEEK_MS - 60_000
    worker.run()
    assert 0 < client.pttl("promptq:tmp:s:default:ses_tmp_a") <= 5_000


def test_activity_slides_the_ttl(store: EphemeralStore, client: redis.Redis, worker: Worker) -> None:
    store.create_session("default", Creation("ses_tmp_a", ttl_ms=30_000))
    client.pexpire("promptq:tmp:s:default:ses_tmp_a", 1_000)
    admit(store, "ses_tmp_a", MARKER)
    worker.run()
    assert client.pttl("promptq:tmp:s:default:ses_tmp_a") > 20_000


def test_a_session_whose_time_is_over_is_unknown_and_no_word_of_it_is_left(
    store: EphemeralStore, client: redis.Redis, worker: Worker
) -> None:
    job = admit_job(store, "ses_tmp_a", MARKER, ttl_ms=20)
    worker.run()

    def gone() -> bool:
        try:
            store.session("default", "ses_tmp_a")
        except SessionNotFound:
            return True
        return False

    eventually(gone)
    assert store.jobs_by_id([("default", job.id)]) == {}
    assert [key for key in client.scan_iter() if MARKER.encode() in (client.dump(key) or b"")] == []


def keys_of_sessions(client: redis.Redis) -> list[bytes]:
    """All keys but that of the tenants' names, which is for counting and goes by itself."""
    return [key for key in client.scan_iter() if key != b"promptq:tmp:tenants"]


def test_a_deleted_session_leaves_nothing_but_empty_indexes(
    store: EphemeralStore, client: redis.Redis, worker: Worker
) -> None:
    admit(store, "ses_tmp_a", MARKER)
    admit(store, "ses_tmp_a", MARKER)
    worker.claim()
    store.delete_session("default", "ses_tmp_a")
    assert keys_of_sessions(client) == []


def test_indexes_forget_a_session_that_is_gone(store: EphemeralStore, client: redis.Redis, worker: Worker) -> None:
    admit(store, "ses_tmp_a", MARKER)
    client.delete("promptq:tmp:s:default:ses_tmp_a", "promptq:tmp:o:default:ses_tmp_a")
    assert worker.claim() == []
    assert store.busy_sessions("default") == {}
    assert store.ready_heads(slots=10, suspects=1) == []


def test_what_a_worker_finishes_after_the_session_is_gone_is_fenced(
    store: EphemeralStore, client: redis.Redis, worker: Worker
) -> None:
    admit(store, "ses_tmp_a", MARKER)
    job = worker.claim_one()
    client.flushall()
    assert len(worker.finish(job, Outcome.SUCCEEDED).fenced) == 1
    assert list(client.scan_iter()) == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_evicts_is_refused_until_it_does_not(
    store: EphemeralStore, client: redis.Redis, policy: str
) -> None:
    client.config_set("maxmemory-policy", policy)
    try:
        with pytest.raises(StoreUnavailable, match=f"evicts keys.*{policy}"):
            admit(store, "ses_tmp_a", MARKER)
        assert list(client.scan_iter()) == []
    finally:
        client.config_set("maxmemory-policy", "noeviction")
    assert admit(store, "ses_tmp_a", MARKER).session_created


def test_a_redis_that_writes_to_disk_is_warned_about(
    store: EphemeralStore, client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    client.config_set("save", "3600 1")
    try:
        admit(store, "ses_tmp_a", MARKER)
        admit(store, "ses_tmp_a", MARKER)
    finally:
        client.config_set("save", "")
    assert [record.message.partition(":")[0] for record in caplog.records] == ["redis_persists"]


HISTORY = "promptq:tmp:h:default:ses_tmp_a:"


@pytest.fixture
def notices(valkey: ValkeyServer, client: redis.Redis) -> Iterator[Notices]:
    """Publishes for somebody who follows the session."""
    client.set("promptq:watch:default", "", ex=60)
    client.set("promptq:watch:default:ses_tmp_a", "", ex=60)
    made = Notices(valkey.url, "promptq:")
    yield made
    made.close()


def tell(notices: Notices, admission: Admission) -> None:
    """Publish an admission, for those who watch."""

    def make(ask: Ask) -> list[Bundle]:
        watched = ask([("default", "ses_tmp_a")])
        return [events.of_admission(admission).evolve(is_kept=watched["default", "ses_tmp_a"])]

    assert notices.tell((), ["default"], make)


def test_the_events_of_a_session_are_kept_exactly_as_long_as_the_session(
    store: EphemeralStore, client: redis.Redis, worker: Worker, notices: Notices
) -> None:
    tell(notices, admit(store, "ses_tmp_a", MARKER, ttl_ms=5_000))
    (key,) = client.scan_iter(HISTORY + "*")
    assert len(_expiries(client)) == 1
    worker.run()
    assert len(_expiries(client)) == 1
    assert 0 < client.pttl(key) <= 5_000
    tell(notices, admit(store, "ses_tmp_a", MARKER, ttl_ms=5_000))
    assert len(_expiries(client)) == 1
    assert client.xlen(key) == 2
    kept: Any = client.xrange(key)
    assert MARKER.encode() in kept[0][1][b"b"]


def test_the_events_of_a_deleted_session_are_deleted_and_none_is_kept_that_comes_late(
    store: EphemeralStore, client: redis.Redis, notices: Notices
) -> None:
    admission = admit(store, "ses_tmp_a", MARKER)
    tell(notices, admission)
    store.delete_session("default", "ses_tmp_a")
    assert _keys_with_content(client) == []
    tell(notices, admission)
    assert _keys_with_content(client) == []
    admit(store, "ses_tmp_a", MARKER)
    tell(notices, admission)
    assert list(client.scan_iter(HISTORY + "*")) == []
