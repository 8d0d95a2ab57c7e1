"""Streams while things go wrong: nobody publishes, Redis is away, clients do not read, the server stops."""

import contextlib
import logging
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from api.streams import descriptors, hub, lookout, routes, watching
from executors.base import Event, Request, TextDelta
from storage.notices import wire
from tests.api.conftest import a_prompt
from tests.api.following import House, a_house, assembled
from tests.storage.actors import Worker, admit
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.scripted import END, Gate

STREAM = "/session/ses_a/event"


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "JOBS_S", 0.05)
    monkeypatch.setattr(lookout, "SESSIONS_S", 0.05)


@pytest.fixture
def house(valkey: ValkeyServer) -> Iterator[House]:
    with a_house(valkey.url) as made:
        made.client.post("/session", json={"id": "ses_a"})
        yield made


@pytest.fixture
def house_without_redis() -> Iterator[House]:
    with a_house(None) as made:
        made.client.post("/session", json={"id": "ses_a"})
        yield made


def test_an_end_that_nobody_published_is_told_to_all_who_watch(house: House) -> None:
    followers = [house.follow(path) for path in (STREAM, "/event")]
    house.prompt("hello")
    worker = Worker(house.store)
    worker.run()
    for follower in followers:
        follower.ends_with("session.updated", after="session.idle")
        assert assembled(follower.events) == house.messages()
        assert follower.types.count("session.idle") == 1


@pytest.mark.parametrize("seen", ["server.connected", "session.status", "session.idle"])
def test_what_nobody_published_while_a_client_was_away_is_a_gap_and_then_the_session_as_it_is(
    house: House, seen: str
) -> None:
    follower = house.follow(STREAM)
    engine = house.engine()
    house.prompt("published")
    follower.ends_with("session.updated", after="session.idle")
    follower.close()
    engine.stop()
    admit(house.store, "ses_a", "not published")
    Worker(house.store).run()
    last = follower.names[follower.types.index(seen)]
    again = house.follow(STREAM, **{routes.LAST_EVENT: last})
    again.sees("session.idle")
    assert again.types[:2] == ["server.connected", "gap"]
    assert assembled(again.events) == house.messages()


def test_what_another_process_committed_and_nobody_published_is_told_to_who_follows(house: House) -> None:
    follower = house.follow(STREAM)
    for number in range(3):
        admit(house.store, "ses_a", f"prompt {number}")
    Worker(house.store).run()
    follower.sees("session.idle")
    kept = sorted(each["info"]["id"] for each in house.messages())
    eventually(lambda: sorted({each["info"]["id"] for each in follower.of("message.updated")}) == kept)
    house.store.update_session("default", "ses_a", {"title": "Another"})
    eventually(lambda: follower.of("session.updated")[-1]["info"]["title"] == "Another")
    house.store.delete_session("default", "ses_a")
    follower.sees("session.deleted")
    eventually(lambda: follower.ended)


def test_an_end_that_is_told_twice_is_heard_once(house: House) -> None:
    follower = house.follow(STREAM)
    house.engine()
    for number in range(5):
        house.prompt(f"prompt {number}")
        follower.sees("session.idle", number + 1)
    eventually(lambda: len(house.messages()) == 10)
    completed = [each["info"]["id"] for each in follower.of("message.updated") if "completed" in each["info"]["time"]]
    assert len(completed) == len(set(completed)) == 5


def test_without_any_redis_streams_tell_of_what_this_process_does_and_of_all_ends(house_without_redis: House) -> None:
    house = house_without_redis
    followers = [house.follow(path) for path in (STREAM, "/event")]
    house.engine()
    house.prompt("hello")
    for follower in followers:
        follower.ends_with("session.updated", after="session.idle")
        assert assembled(follower.events) == house.messages()
    house.client.delete("/session/ses_a")
    for follower in followers:
        follower.sees("session.deleted")


def test_ends_come_though_redis_goes_away_and_deltas_when_it_is_back(
    house: House, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.notices.publishing.PAUSE_S", 0.05)
    monkeypatch.setattr("storage.notices.hearing.LONGEST_RECONNECT_S", 0.1)
    followers = [house.follow(path) for path in (STREAM, "/event")]
    house.engine()
    valkey.kill()
    house.prompt("while it is away")
    for follower in followers:
        follower.sees("session.idle")
        eventually(lambda follower=follower: assembled(follower.events) == house.messages())  # type: ignore[misc]
    valkey.start()

    def tells_deltas_again() -> bool:
        gate = house.scripts["wait"] = Gate()
        seen = [len(follower.of("message.part.delta")) for follower in followers]
        house.prompt("wait")
        eventually(lambda: gate.reached)
        try:
            eventually(
                lambda: all(
                    len(follower.of("message.part.delta")) > before
                    for follower, before in zip(followers, seen, strict=True)
                ),
                timeout=3,
            )
        except AssertionError:
            return False
        finally:
            gate.open()
        return True

    eventually(tells_deltas_again, timeout=30)


def test_a_stream_begins_though_redis_does_not_answer(
    house: House, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PATIENCE_S", 0.1)
    valkey.freeze()
    try:
        follower = house.follow(STREAM)
        assert follower.types == ["server.connected"]
        admit(house.store, "ses_a", "hello")
        Worker(house.store).run()
        follower.sees("session.idle")
        again = house.follow(STREAM, **{"Last-Event-ID": "0123456789.1-0.0"})
        assert again.types[:2] == ["server.connected", "gap"]
    finally:
        valkey.thaw()


def test_a_prompt_that_waits_is_answered_after_its_events_even_if_they_are_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "JOBS_S", 3600)
    monkeypatch.setattr(lookout, "SESSIONS_S", 3600)
    follower = house.follow()
    worker = Worker(house.store)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(house.client.post, "/session/ses_a/message", json=a_prompt("hello"))
        follower.sees("session.status")
        worker.run()
        answer = future.result(10).json()
    eventually(lambda: assembled(follower.events)[-1:] == [answer])


def test_a_client_that_does_not_read_is_cut_off_and_the_others_are_not(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(wire, "LARGE", wire.TOO_LARGE)
    streams = house.served.app.state.means.hub
    reads = house.follow()
    with socket.socket() as sleeps:
        sleeps.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sleeps.connect(("127.0.0.1", house.served.port))
        sleeps.sendall(b"GET /event HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: len(streams) == 2)

        def is_cut_off() -> bool:
            answer = house.client.post("/session/ses_a/message", json=a_prompt("x" * 500_000, noReply=True))
            assert answer.status_code == 200
            return len(streams) == 1

        with caplog.at_level(logging.WARNING):
            eventually(is_cut_off, timeout=60)
        (record,) = [record for record in caplog.records if record.message == "stream_cut_off"]
        assert record.levelname == "WARNING"
        assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []
        sleeps.settimeout(5)
        with contextlib.suppress(ConnectionError):
            while sleeps.recv(65536):
                pass
    house.client.patch("/session/ses_a", json={"title": "the last"})
    eventually(lambda: reads.of("session.updated")[-1]["info"]["title"] == "the last")


def test_a_redis_that_is_full_still_passes_events_on(house: House, valkey: ValkeyServer) -> None:
    follower = house.follow(STREAM)
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory", "1")
        try:
            house.engine()
            house.prompt("hello")
            follower.ends_with("session.updated", after="session.idle")
            assert assembled(follower.events) == house.messages()
        finally:
            client.config_set("maxmemory", "0")


def test_clients_that_leave_leave_nothing_behind(house: House) -> None:
    means = house.served.app.state.means
    followers = [house.follow(path) for path in (STREAM, "/event", "/global/event") for _ in range(3)]
    house.prompt("hello")
    assert len(means.hub) == 9
    eventually(lambda: len(means.hub.open_jobs()) == 1)
    for follower in followers:
        follower.close()
    eventually(lambda: not len(means.hub))
    assert means.hub.open_jobs() == []
    assert means.hub.followed() == []
    assert not means.hub.wants("default")


def test_many_clients_share_a_constant_number_of_connections_to_redis(house: House, valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        house.follow()
        before = len(client.client_list())
        followers = [house.follow(STREAM) for _ in range(20)]
        followers += [house.follow("/event") for _ in range(20)]
        assert len(client.client_list()) <= before + watching.CONNECTIONS
        house.client.patch("/session/ses_a", json={"title": "B"})
        for follower in followers:
            follower.sees("session.updated")


def test_streams_are_kept_alive(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HEARTBEAT_S", 0.01)
    with a_house(None) as quick:
        plain, whole = quick.follow(), quick.follow("/global/event")
        plain.sees("server.heartbeat", 3)
        eventually(lambda: "server.heartbeat" in whole.types)


def test_a_server_that_stops_ends_its_streams(valkey: ValkeyServer, caplog: pytest.LogCaptureFixture) -> None:
    with a_house(valkey.url) as house:
        followers = [house.follow(path) for path in ("/event", "/global/event")]
        house.running.pop_all()
    for follower in followers:
        eventually(lambda follower=follower: follower.ended)  # type: ignore[misc]
        follower.close()
    assert [record for record in caplog.records if record.exc_info] == []


def test_a_lost_attempt_is_withdrawn_by_who_finds_out(house: House) -> None:
    follower = house.follow(STREAM)
    house.prompt("hello")
    (claimed,) = Worker(house.store).claim(1, lease_ms=1)
    house.engine(lease=1)
    (removed,) = follower.sees("message.removed")
    assert removed["messageID"] == claimed.job.assistant_id
    follower.sees("session.idle")
    eventually(lambda: assembled(follower.events) == house.messages())


def test_deltas_of_an_attempt_that_is_over_are_not_told(house: House) -> None:
    gate = Gate()

    async def script(request: Request) -> AsyncIterator[Event]:
        if request.job.attempt == 1:
            async for event in gate(request):
                yield event
        yield TextDelta("second")
        yield END

    house.scripts["twice"] = script
    follower = house.follow(STREAM)
    house.engine()
    house.prompt("twice")
    follower.sees("message.part.delta")
    house.client.post("/session/ses_a/abort")
    follower.sees("session.idle")
    gate.open()
    eventually(lambda: assembled(follower.events) == house.messages())


def test_a_process_may_have_as_many_clients_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1_000), hard))
        descriptors.allow_many()
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 1_000 or hard == 1_000
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
