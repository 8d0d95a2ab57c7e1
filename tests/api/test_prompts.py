"""Prompts: kept once under their callers' names, in order, with every extension."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain.jobs import Outcome
from domain.messages import Usage
from tests.api.conftest import Api, Apis, a_prompt


def test_a_prompt_is_kept_and_its_job_and_session_are_named(api: Api) -> None:
    answer = api.prompt("ses_a", "hi", messageID="msg_1")
    assert answer.content == b""
    assert answer.headers["promptq-session"] == "created"
    job = api.job(answer)
    assert job["sessionID"] == "ses_a"
    assert job["messageID"] == "msg_1"
    assert job["state"] == "queued"
    assert api.prompt("ses_a", "more").headers["promptq-session"] == "resumed"
    assert api.bell.rings == 2


def test_the_same_message_again_is_the_same_job(api: Api) -> None:
    first = api.prompt(messageID="msg_1", metadata={"a": 1, "b": 2}, timeout=600)
    again = api.prompt(messageID="msg_1", metadata={"b": 2, "a": 1}, priority=5, maxAttempts=3)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["promptq-session"] == "resumed"
    assert len(api.get("/job").json()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"text": "other"},
        {"system": "be brief"},
        {"priority": 6},
        {"timeout": 1.5},
        {"maxAttempts": 1},
        {"notBefore": 5},
        {"expiresAt": 9007199254740991},
        {"metadata": {}},
        {"tools": {"bash": False}},
        {"format": {"type": "text"}},
        {"agent": "plan"},
        {"variant": "high"},
        {"noReply": True},
    ],
)
def test_a_message_id_with_other_content_is_a_conflict(memory_apis: Apis, change: dict[str, Any]) -> None:
    api = memory_apis.start()
    api.prompt("ses_a", messageID="msg_1")
    answer = api.post("/session/ses_a/prompt_async", a_prompt(**{"text": "hi", "messageID": "msg_1", **change}))
    assert answer.status_code == 409
    assert answer.json() == {
        "name": "ConflictError",
        "data": {"message": "messageID 'msg_1' was used for other content in this session", "fields": ["messageID"]},
    }
    assert len(api.get("/session/ses_a/message").json()) == 1


def test_part_ids_and_the_manner_of_admission_are_not_content(api: Api) -> None:
    first = api.prompt(messageID="msg_1")
    body = {"parts": [{"id": "prt_mine", "type": "text", "text": "hi"}], "messageID": "msg_1"}
    for more in ({}, {"whenBusy": "reject"}, {"whenBusy": "interrupt"}, {"ifMissing": "fail"}):
        again = api.post("/session/ses_a/prompt_async", {**body, **more})
        assert (again.status_code, again.headers["location"]) == (204, first.headers["location"])
    assert api.job(first)["state"] == "queued"


def test_a_model_that_was_not_given_is_the_same_as_the_default_by_name(api: Api) -> None:
    first = api.prompt(messageID="msg_1")
    again = api.prompt(messageID="msg_1", model={"providerID": "echo", "modelID": "echo"}, agent="build")
    assert again.headers["location"] == first.headers["location"]


def test_an_idempotency_key_names_a_prompt_without_a_message_id(api: Api) -> None:
    path, key = "/session/ses_a/prompt_async", {"Idempotency-Key": "a key, 1"}
    first = api.post(path, a_prompt(), headers=key)
    assert api.post(path, a_prompt(), headers=key).headers["location"] == first.headers["location"]
    answer = api.post(path, a_prompt("other"), headers=key)
    assert answer.status_code == 409
    assert answer.json()["data"]["fields"] == ["Idempotency-Key"]
    other = api.post(path, a_prompt("other", messageID="msg_1"), headers=key)
    assert other.headers["location"] != first.headers["location"]


def test_concurrent_identical_prompts_make_one_session_and_one_job(api: Api) -> None:
    def post(number: int) -> tuple[int, str, str]:
        answer = api.post("/session/ses_a/prompt_async", a_prompt(messageID="msg_1"))
        return answer.status_code, answer.headers["location"], answer.headers["promptq-session"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(24)))
    assert len({answer[:2] for answer in answers}) == 1
    assert [answer[2] for answer in answers].count("created") == 1
    assert len(api.get("/job").json()) == 1
    assert len(api.get("/session").json()) == 1


def test_a_repeat_is_answered_when_the_record_of_its_job_is_gone(api: Api) -> None:
    first = api.prompt(messageID="msg_1")
    api.worker.run()
    assert api.store.prune(older_than_ms=-1000, limit=10) == 1
    assert api.get(first.headers["location"]).status_code == 404
    assert api.prompt(messageID="msg_1").headers["location"] == first.headers["location"]
    answer = api.post("/session/ses_a/message", a_prompt(messageID="msg_1"))
    assert answer.status_code == 200
    assert answer.json()["parts"][0]["text"] == "answer to hi"
    assert answer.headers["location"] == first.headers["location"]


def test_a_busy_session_queues_rejects_or_is_interrupted(api: Api) -> None:
    first = api.prompt(text="1")
    second = api.prompt(text="2")
    running = api.worker.claim_one()
    refused = api.post("/session/ses_a/prompt_async", a_prompt("3", whenBusy="reject"))
    assert (refused.status_code, refused.json()["data"]["fields"]) == (409, ["whenBusy"])
    third = api.prompt(text="3", whenBusy="interrupt")
    assert [api.job(each)["state"] for each in (first, second, third)] == ["running", "cancelled", "queued"]
    api.worker.finish(running, Outcome.CANCELLED)
    assert api.worker.run() == [api.job(third)["id"]]
    assert api.post("/session/ses_a/prompt_async", a_prompt("4", whenBusy="reject")).status_code == 204


def test_a_message_without_a_reply_has_its_place_but_no_job(api: Api) -> None:
    answer = api.prompt(text="know this", noReply=True)
    assert "location" not in answer.headers
    assert answer.headers["promptq-session"] == "created"
    said = api.post("/session/ses_a/message", a_prompt("and this", noReply=True))
    assert said.status_code == 200
    assert said.json()["info"]["role"] == "user"
    assert said.json()["parts"][0]["text"] == "and this"
    assert api.get("/job").json() == []
    assert len(api.get("/session/ses_a/message").json()) == 2


def test_what_a_prompt_gives_is_kept_and_shown(api: Api) -> None:
    picture = {"type": "file", "mime": "image/png", "url": "data:image/png;base64,AAAA", "filename": "a.png"}
    body = {
        "messageID": "msg_1",
        "model": {"providerID": "echo", "modelID": "echo"},
        "variant": "high",
        "agent": "plan",
        "system": "be brief",
        "tools": {"bash": False},
        "format": {"type": "json_schema", "schema": {"type": "object"}, "retryCount": 2},
        "metadata": {"mine": {"deep": [1, 2.5, None, "\u0000 is content here"]}},
        "parts": [{"id": "prt_1", "type": "text", "text": "look"}, picture],
    }
    answer = api.post("/session/ses_a/prompt_async?directory=/srv&workspace=wrk_1", body)
    assert answer.status_code == 204, answer.text
    message = api.get("/session/ses_a/message/msg_1").json()
    assert message["info"]["model"] == {"providerID": "echo", "modelID": "echo", "variant": "high"}
    for name in ("agent", "system", "tools", "format"):
        assert message["info"][name] == body[name]
    assert message["parts"][0] == {"id": "prt_1", "type": "text", "text": "look"} | {
        "sessionID": "ses_a",
        "messageID": "msg_1",
    }
    assert message["parts"][1].items() >= picture.items()
    assert message["parts"][1]["id"].startswith("prt_")
    session = api.get("/session/ses_a").json()
    assert (session["directory"], session["workspaceID"]) == ("/srv", "wrk_1")
    (claimed,) = api.worker.claim(1)
    assert claimed.prompt.detail["metadata"] == body["metadata"]


def test_times_and_limits_of_a_prompt_are_those_of_its_job(api: Api) -> None:
    answer = api.prompt(
        priority=9, notBefore=8_000_000_000_000, expiresAt=9_000_000_000_000, maxAttempts=1, timeout=0.5
    )
    job = api.job(answer)
    assert (job["priority"], job["maxAttempts"]) == (9, 1)
    assert job["time"]["notBefore"] == 8_000_000_000_000
    assert job["time"]["expiresAt"] == 9_000_000_000_000
    assert job["waiting"] == {"for": "time", "until": 8_000_000_000_000}
    assert api.store.job("default", job["id"]).timeout_ms == 500


def test_messages_are_listed_by_their_prompts_and_in_pages_backwards(api: Api) -> None:
    for number in range(3):
        api.prompt(text=f"{number}")
    api.worker.run()
    api.prompt(text="3")
    whole = api.get("/session/ses_a/message").json()
    said = [message["parts"][0]["text"] for message in whole]
    assert said == ["0", "answer to 0", "1", "answer to 1", "2", "answer to 2", "3"]
    assert [message["info"]["role"] for message in whole[:2]] == ["user", "assistant"]
    assert api.get("/session/ses_a/message?limit=0").json() == whole
    paged: list[Any] = []
    path = "/session/ses_a/message?limit=3"
    while path:
        answer = api.get(path)
        paged = answer.json() + paged
        path = answer.links.get("next", {}).get("url", "").removeprefix("http://localhost:4096")
    assert paged == whole
    assert api.get("/session/ses_a/message?before=abc").status_code == 400
    assert api.get("/session/ses_a/message?limit=3&before=abc").json()["field"] == "before"


def test_tokens_and_cost_of_answers_add_up_in_the_session(api: Api) -> None:
    for text in ("1", "2"):
        api.prompt(text=text)
        api.worker.finish(api.worker.claim_one(), usage=Usage(input=10, output=5, cache_read=1), cost=0.25)
    session = api.get("/session/ses_a").json()
    assert session["tokens"] == {"input": 20, "output": 10, "reasoning": 0, "cache": {"read": 2, "write": 0}}
    assert session["cost"] == 0.5
    answer = api.get("/session/ses_a/message").json()[1]["info"]
    assert answer["tokens"]["output"] == 5
    assert answer["cost"] == 0.25


def test_a_full_backlog_says_when_to_come_back(apis: Apis) -> None:
    api = apis.start(backlog=2)
    api.prompt("ses_a")
    api.prompt("ses_b", messageID="msg_1")
    answer = api.post("/session/ses_c/prompt_async", a_prompt())
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["name"] == "BacklogFullError"
    assert api.prompt("ses_b", messageID="msg_1").status_code == 204, "a repeat adds nothing"


def test_a_model_may_be_named_as_opencodes_python_package_does(api: Api) -> None:
    older = api.prompt("ses_a", messageID="msg_1", providerID="echo", modelID="echo")
    newer = api.prompt("ses_a", messageID="msg_1", model={"providerID": "echo", "modelID": "echo"})
    assert older.headers["location"] == newer.headers["location"]
    half: list[dict[str, Any]] = [{"providerID": "echo"}, {"modelID": "echo"}]
    for wrong in (*half, {"providerID": "echo", "modelID": "echo", "model": {"providerID": "echo", "modelID": "echo"}}):
        assert api.post("/session/ses_a/prompt_async", a_prompt(**wrong)).status_code == 400
