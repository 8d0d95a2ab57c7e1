"""Events as clients see them: OpenCode's, in OpenCode's shapes and order."""

import itertools
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from executors.base import (
    Event,
    PermanentError,
    ReasoningDelta,
    Request,
    TextDelta,
    ToolCall,
    ToolResult,
    TransientError,
)
from tests.api.conftest import a_prompt
from tests.api.following import Follower, House, a_house
from tests.support.keys import bearer, keyed
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.scripted import END, Gate

DATA = Path(__file__).parents[1] / "data"
DOCUMENT = json.loads((DATA / "opencode-events.json").read_text("utf-8"))
RECORDED = [json.loads(line)["type"] for line in (DATA / "opencode-traffic.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def house(valkey: ValkeyServer) -> Iterator[House]:
    with a_house(valkey.url) as made:
        yield made


def folded(types: list[str]) -> list[str]:
    """Without repeats that follow each other."""
    return [kind for kind, _ in itertools.groupby(types)]


def assert_in_order(types: list[str], recorded: list[str]) -> None:
    """Each comes, in this order, in what was recorded (which has no new session)."""
    left = iter(recorded)
    assert [kind for kind in types if kind != "session.created" and kind not in left] == []


def assert_as_documented(follower: Follower) -> None:
    """Hold all events of a stream against OpenCode's document."""
    of_type = {
        schema["properties"]["type"]["enum"][0]: schema
        for name, schema in DOCUMENT["components"]["schemas"].items()
        if name in DOCUMENT["events"]
    }
    for event in follower.events:
        schema = {**of_type[event["type"]], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(event)
    ids = [event["id"] for event in follower.events]
    assert len(set(ids)) == len(ids)


def test_a_prompt_is_told_in_the_order_in_which_opencode_tells_it(house: House) -> None:
    house.client.post("/session", json={"id": "ses_a"})
    follower = house.follow()
    house.engine()
    gate = house.scripts["wait"] = Gate()
    house.prompt("wait")
    follower.sees("message.part.delta")
    gate.open()
    follower.ends_with("session.updated", after="session.idle")
    assert_in_order(folded(follower.types), folded(RECORDED))
    assert_as_documented(follower)
    assert [delta["delta"] for delta in follower.of("message.part.delta")] == ["half ", "whole"]
    user, assistant, done = (each["info"] for each in follower.of("message.updated"))
    assert (user["role"], assistant["role"], done["role"]) == ("user", "assistant", "assistant")
    assert assistant["parentID"] == user["id"]
    assert done["id"] == assistant["id"]
    assert "completed" not in assistant["time"]
    assert done["time"]["completed"] >= assistant["time"]["created"]
    kept = house.client.get(f"/session/ses_a/message/{done['id']}").json()
    assert kept["info"] == done
    assert [follower.parts()[part["id"]] for part in kept["parts"]] == kept["parts"]


def test_an_answer_that_is_quicker_than_anybody_looks_is_told_whole(house: House) -> None:
    follower = house.follow()
    house.engine()
    house.prompt("quick")
    follower.ends_with("session.updated", after="session.idle")
    assert follower.of("message.part.delta") == []
    assert_in_order(folded(follower.types), folded(RECORDED))
    assert [part["text"] for part in follower.parts().values() if part["type"] == "text"] == ["quick", "quick"]
    assert_as_documented(follower)


def test_reasoning_and_tools_are_told_as_they_go(house: House) -> None:
    gate = Gate()

    async def script(request: Request) -> AsyncIterator[Event]:
        yield ReasoningDelta("hm ")
        yield ReasoningDelta("so")
        yield TextDelta("Look: ")
        yield ToolCall("call_1", "read", {"path": "a"})
        yield ToolCall("call_2", "read", {"path": "b"})
        yield ToolResult("call_2", "of b", title="b")
        async for event in gate(request):
            yield event

    house.scripts["tools"] = script
    follower = house.follow()
    house.engine()
    house.prompt("tools")

    def running() -> bool:
        return any(
            part["type"] == "tool" and part["state"]["status"] == "running" for part in follower.parts().values()
        )

    eventually(running)
    gate.open()
    follower.ends_with("session.updated", after="session.idle")
    tools = [part for part in follower.parts().values() if part["type"] == "tool"]
    assert [tool["state"]["status"] for tool in tools] == ["error", "completed"]
    assert tools[1]["state"]["output"] == "of b"
    assert_as_documented(follower)
    (answer,) = (each for each in house.client.get("/session/ses_a/message").json() if each["info"]["role"] != "user")
    assert [follower.parts()[part["id"]] for part in answer["parts"]] == answer["parts"]


def test_deltas_come_about_twenty_times_a_second_however_many_words_there_are(house: House) -> None:
    gate = Gate()

    async def script(request: Request) -> AsyncIterator[Event]:
        for number in range(5_000):
            yield TextDelta(f"{number} ")
        async for event in gate(request):
            yield event

    house.scripts["talk"] = script
    follower = house.follow()
    house.engine()
    house.prompt("talk")
    follower.sees("message.part.delta")
    gate.open()
    follower.ends_with("session.updated", after="session.idle")
    deltas = [delta["delta"] for delta in follower.of("message.part.delta")]
    assert len(deltas) < 10
    assert "".join(deltas) == "".join(f"{number} " for number in range(5_000)) + "half whole"


def test_a_failed_attempt_withdraws_its_message_and_the_next_has_its_own(house: House) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield TextDelta("half")
        if request.job.attempt == 1:
            raise TransientError("again", "again")
        yield END

    house.scripts["twice"] = script
    follower = house.follow()
    house.engine()
    house.prompt("twice")
    (removed,) = follower.sees("message.removed")
    follower.ends_with("session.updated", after="session.idle")
    assistants = [each["info"]["id"] for each in follower.of("message.updated") if each["info"]["role"] == "assistant"]
    assert assistants[0] == removed["messageID"]
    assert set(assistants[1:]) == {house.client.get("/session/ses_a/message").json()[1]["info"]["id"]}
    statuses = [each["status"]["type"] for each in follower.of("session.status")]
    assert statuses[-1] == "idle"
    assert statuses[0] == "busy"
    assert_as_documented(follower)


def test_an_end_without_success_tells_its_error_before_the_session_is_idle(house: House) -> None:
    async def script(request: Request) -> AsyncIterator[Event]:
        yield TextDelta("half")
        raise PermanentError("broken", "it is broken")

    house.scripts["break"] = script
    follower = house.follow()
    house.engine()
    house.prompt("break")
    follower.ends_with("session.updated", after="session.idle")
    (error,) = follower.of("session.error")
    assert error["error"] == {"name": "UnknownError", "data": {"message": "it is broken"}}
    assert follower.of("message.updated")[-1]["info"]["error"] == error["error"]
    assert follower.types.index("session.error") < follower.types.index("session.idle")
    assert_as_documented(follower)


def test_prompts_that_end_without_a_worker_are_told_too(house: House) -> None:
    follower = house.follow()
    house.prompt("first")
    house.prompt("second")
    house.client.post("/session/ses_a/abort")
    follower.sees("session.error", 2)
    follower.ends_with("session.updated", after="session.idle")
    assert {each["error"]["name"] for each in follower.of("session.error")} == {"MessageAbortedError"}
    assert_as_documented(follower)


def test_a_session_stays_busy_until_its_last_prompt_has_ended(house: House) -> None:
    follower = house.follow()
    for number in range(3):
        house.prompt(f"prompt {number}")
    house.engine()
    follower.ends_with("session.updated", after="session.idle")
    assert len(follower.of("message.updated")) == 9
    assert len(follower.of("session.idle")) == 1
    assert follower.of("session.status")[-1]["status"] == {"type": "idle"}


def test_what_callers_do_to_sessions_is_told(house: House) -> None:
    follower = house.follow()
    house.client.post("/session", json={"id": "ses_a", "title": "A"})
    house.client.post("/session", json={"id": "ses_a", "title": "A"})
    house.client.patch("/session/ses_a", json={"title": "B"})
    house.client.post("/session/ses_a/message", json=a_prompt(noReply=True))
    house.client.post("/session/ses_a/fork", json={"id": "ses_b"})
    house.client.delete("/session/ses_a")
    follower.sees("session.deleted")
    assert follower.types == [
        "server.connected",
        "session.created",
        "session.updated",
        "session.status",
        "session.updated",
        "message.updated",
        "message.part.updated",
        "session.status",
        "session.created",
        "session.deleted",
    ]
    assert follower.of("session.updated")[0]["info"]["title"] == "B"
    assert [each["sessionID"] for each in follower.of("session.created")] == ["ses_a", "ses_b"]
    assert_as_documented(follower)


def test_the_global_stream_says_where_it_happened(house: House) -> None:
    follower = house.follow("/global/event")
    house.client.post("/session?directory=/x&workspace=wrk_1", json={"id": "ses_a"})
    eventually(lambda: len(follower.events) == 2)
    connected, created = follower.events
    assert connected["payload"]["type"] == "server.connected"
    assert (created["directory"], created["workspace"]) == ("/x", "wrk_1")
    schema = {**DOCUMENT["components"]["schemas"]["GlobalEvent"], "components": DOCUMENT["components"]}
    for event in follower.events:
        Draft202012Validator(schema).validate(event)


def test_who_comes_late_is_told_what_the_running_answer_has_so_far(house: House) -> None:
    gate = house.scripts["wait"] = Gate()
    house.engine()
    house.prompt("wait")
    eventually(lambda: gate.reached)
    first = house.follow("/session/ses_a/event")
    first.sees("message.part.delta")
    second = house.follow("/session/ses_a/event")
    second.sees("message.part.delta")
    for follower in (first, second):
        assert follower.types[1:9] == [
            "session.updated",
            "message.updated",
            "message.part.updated",
            "session.status",
            "message.updated",
            "message.part.updated",
            "message.part.updated",
            "message.part.delta",
        ]
        assert follower.of("message.part.delta")[0]["delta"] == "half "
    gate.open()
    for follower in (first, second):
        follower.ends_with("session.updated", after="session.idle")


def test_the_stream_of_a_session_tells_of_no_other(house: House) -> None:
    house.client.post("/session", json={"id": "ses_a"})
    follower = house.follow("/session/ses_a/event")
    house.prompt("hi", "ses_b")
    house.prompt("hi", "ses_a")
    follower.sees("session.status")
    assert {event["properties"].get("sessionID", "ses_a") for event in follower.events} == {"ses_a"}


def test_nobody_is_told_of_another_tenants_sessions(valkey: ValkeyServer) -> None:
    configuration, keys = keyed("alice", "bob")
    with a_house(valkey.url, configuration=configuration) as house:
        alice, bob = bearer(keys["alice"]), bearer(keys["bob"])
        mine = house.follow("/event", **alice)
        house.client.post("/session", json={"id": "ses_a"}, headers=bob)
        house.client.post("/session", json={"id": "ses_a"}, headers=alice)
        followers = [house.follow("/session/ses_a/event", **who) for who in (alice, bob)]
        house.prompt("of bob", headers=bob)
        followers[1].sees("session.status")
        house.prompt("of alice", headers=alice)
        for follower in (mine, followers[0]):
            follower.sees("session.status")
            assert [part["text"] for part in follower.parts().values()] == ["of alice"]
        assert [part["text"] for part in followers[1].parts().values()] == ["of bob"]


def test_streams_of_sessions_that_are_not_there_are_404_and_queries_are_checked(house: House) -> None:
    assert house.client.get("/session/ses_none/event").status_code == 404
    assert house.client.get("/session/none/event").status_code == 400
    for path in ("/event", "/global/event"):
        assert house.client.get(f"{path}?limit=3").status_code == 400
