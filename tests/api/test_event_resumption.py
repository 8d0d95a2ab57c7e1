"""Who comes back to the stream of a session is told what it missed, and not twice; or that it cannot be told."""

import itertools
from collections.abc import Iterator

import pytest
import redis

from api.streams import routes
from storage.notices import publishing, wire
from tests.api.following import Follower, House, a_house, assembled
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.scripted import Gate

STREAM = "/session/ses_a/event"


@pytest.fixture
def house(valkey: ValkeyServer) -> Iterator[House]:
    with a_house(valkey.url) as made:
        made.client.post("/session", json={"id": "ses_a"})
        yield made


def back(house: House, follower: Follower, index: int = -1, path: str = STREAM) -> Follower:
    """Come back to a stream as one that has seen the events up to an index."""
    return house.follow(path, **{routes.LAST_EVENT: follower.names[index]})


def idle(follower: Follower, count: int = 1) -> None:
    follower.sees("session.idle", count)
    follower.ends_with("session.updated", after="session.idle")


def test_every_event_of_a_session_has_a_name_and_those_of_a_tenant_have_none(house: House) -> None:
    follower, whole = house.follow(STREAM), house.follow("/event")
    house.engine()
    house.prompt()
    idle(follower)
    idle(whole)
    assert len(set(follower.names)) == len(follower.events)
    assert set(whole.names) == {""}


def test_what_came_while_a_client_was_away_is_told_when_it_is_back(house: House) -> None:
    follower = house.follow(STREAM)
    house.engine()
    house.prompt("first")
    idle(follower)
    follower.close()
    house.prompt("second")
    eventually(lambda: len(house.messages()) == 4)
    eventually(lambda: "completed" in house.messages()[3]["info"]["time"])
    again = back(house, follower)
    idle(again)
    assert again.types[0] == "server.connected"
    assert assembled([*follower.events, *again.events]) == house.messages()
    assert "gap" not in again.types


def test_wherever_a_client_was_cut_it_puts_the_same_answer_together(house: House) -> None:
    follower = house.follow(STREAM)
    house.engine()
    gate = house.scripts["wait"] = Gate()
    house.prompt("wait")
    follower.sees("message.part.delta")
    gate.open()
    idle(follower)
    everything = follower.events[1:]
    assert assembled(everything) == house.messages()
    for seen in range(len(everything) + 1):
        again = back(house, follower, seen)
        again.has(1 + len(everything) - seen)
        assert again.events[1:] == everything[seen:]
        again.close()


def test_a_client_that_was_told_of_nothing_yet_misses_nothing_either(house: House) -> None:
    follower = house.follow(STREAM)
    follower.close()
    house.engine()
    house.prompt()
    eventually(lambda: len(house.messages()) == 2 and "completed" in house.messages()[1]["info"]["time"])
    again = back(house, follower, 0)
    idle(again)
    assert assembled(again.events) == house.messages()
    assert "gap" not in again.types


def test_a_history_that_is_lost_is_a_gap_and_then_the_session_as_it_is(house: House, valkey: ValkeyServer) -> None:
    follower = house.follow(STREAM)
    house.engine()
    house.prompt("first")
    idle(follower)
    follower.close()
    valkey.flush()
    house.prompt("second")
    eventually(lambda: len(house.messages()) == 4 and "completed" in house.messages()[3]["info"]["time"])
    again = back(house, follower)
    again.sees("session.idle")
    assert again.types[:3] == ["server.connected", "gap", "session.updated"]
    assert again.of("gap") == [{"sessionID": "ses_a"}]
    assert assembled(again.events) == house.messages()
    house.prompt("third")
    idle(again, 2)
    once_more = back(house, again, again.types.index("session.idle"))
    idle(once_more)
    assert "gap" not in once_more.types
    assert assembled([*again.events[: again.types.index("session.idle") + 1], *once_more.events]) == house.messages()


def test_a_history_that_was_trimmed_is_a_gap_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MOST_KEPT", 1)
    monkeypatch.setattr(publishing, "KEEP", publishing.KEEP.replace("'~', ", ""))
    follower = house.follow(STREAM)
    house.engine()
    house.prompt("first")
    idle(follower)
    again = back(house, follower, 1)
    again.sees("session.idle")
    assert again.types[:2] == ["server.connected", "gap"]
    assert assembled(again.events) == house.messages()


def test_a_session_made_anew_under_the_same_name_has_no_history(house: House) -> None:
    follower = house.follow(STREAM)
    house.prompt("old")
    follower.sees("message.updated")
    house.client.delete("/session/ses_a")
    follower.sees("session.deleted")
    eventually(lambda: follower.ended)
    assert house.client.get(STREAM).status_code == 404
    house.client.post("/session", json={"id": "ses_a"})
    again = back(house, follower)
    again.sees("session.idle")
    assert again.types[:2] == ["server.connected", "gap"]
    assert assembled(again.events) == []


def test_a_name_that_is_none_of_this_server_is_refused(house: House) -> None:
    for name in ("x", "", "1-0", "evt_1f845fd37001z1RHLHiFeUvOSI"):
        answer = house.client.get(STREAM, headers={routes.LAST_EVENT: name})
        assert (answer.status_code, answer.json()["field"]) == (400, routes.LAST_EVENT)


def test_a_late_admission_is_not_told_after_the_answer(house: House) -> None:
    """What two processes tell of one prompt may arrive in the other order: the prompt is told first, and once."""
    follower = house.follow(STREAM)
    house.engine()
    for number in range(30):
        house.prompt(f"prompt {number}")
    eventually(lambda: len(house.messages()) == 60 and "completed" in house.messages()[59]["info"]["time"])
    idle(follower)
    again = back(house, follower, 0)
    eventually(lambda: len(again.events) >= len(follower.events))
    for told in (follower, again):
        ids = [key for key, _ in itertools.groupby(each["info"]["id"] for each in told.of("message.updated"))]
        kept = [each["info"] for each in house.messages()]
        for user, assistant in zip(kept[::2], kept[1::2], strict=True):
            assert ids.count(user["id"]) == 1
            assert ids.index(user["id"]) < ids.index(assistant["id"])
        assert sorted(map(str, assembled(told.events))) == sorted(map(str, house.messages()))


def test_parts_that_are_too_large_to_publish_are_read_from_the_store(
    house: House, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "LARGE", 2_000)
    large = "a large part " * 1_000
    follower = house.follow(STREAM)
    house.engine()
    house.prompt(large)
    eventually(lambda: assembled(follower.events) == house.messages())
    idle(follower)
    again = back(house, follower, 0)
    idle(again)
    assert assembled(again.events) == house.messages()
    with redis.Redis.from_url(valkey.url) as client:
        (key,) = client.scan_iter("*history*")
        assert client.memory_usage(key) < 20_000


def test_nothing_is_kept_of_sessions_that_nobody_follows(house: House, valkey: ValkeyServer) -> None:
    whole = house.follow("/event")
    house.engine()
    house.prompt()
    idle(whole)
    with redis.Redis.from_url(valkey.url) as client:
        assert list(client.scan_iter("*history*")) == []


def test_deleting_a_session_removes_its_history(house: House, valkey: ValkeyServer) -> None:
    follower = house.follow(STREAM)
    house.prompt()
    follower.sees("session.status")
    with redis.Redis.from_url(valkey.url) as client:
        assert len(list(client.scan_iter("*history*"))) == 1
        house.client.delete("/session/ses_a")
        eventually(lambda: list(client.scan_iter("*history*")) == [])
