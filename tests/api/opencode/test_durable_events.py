"""A session's durable events: the same whenever they are read, and never anything new with a lower number."""

import threading
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator

from api.opencode.newer import durable
from domain.jobs import AttemptEnd, Finished, Outcome
from tests.api.conftest import Api, serving
from tests.api.following import Follower
from tests.api.opencode.documented import DOCUMENT, validate
from tests.storage.actors import Worker, admit_job
from tests.support.waiting import eventually

PATH = "/api/session/{sessionID}/history"

PARTS = (
    {"id": "prt_1", "type": "step-start"},
    {"id": "prt_2", "type": "reasoning", "text": "hm", "time": {"start": 5, "end": 6}},
    {
        "id": "prt_3",
        "type": "tool",
        "callID": "call_1",
        "tool": "bash",
        "state": {
            "status": "completed",
            "input": {"x": 1},
            "output": "done",
            "title": "",
            "metadata": {},
            "time": {"start": 7, "end": 8},
        },
    },
    {
        "id": "prt_4",
        "type": "tool",
        "callID": "call_2",
        "tool": "bash",
        "state": {"status": "error", "input": {}, "error": "no", "time": {"start": 7, "end": 8}},
    },
    {"id": "prt_5", "type": "text", "text": "there", "time": {"start": 9, "end": 10}},
    {
        "id": "prt_6",
        "type": "step-finish",
        "reason": "stop",
        "cost": 0.5,
        "tokens": {"input": 1, "output": 2, "reasoning": 0, "cache": {"read": 0, "write": 0}},
    },
)


def history(api: Api, query: str = "", session: str = "ses_a") -> Any:
    return validate("GET", PATH, api.get(PATH.format(sessionID=session) + query))


def kinds(page: Any) -> list[str]:
    return [each["type"].removeprefix("session.next.") for each in page["data"]]


def numbers(page: Any) -> list[int]:
    return [each["durable"]["seq"] for each in page["data"]]


def answered(api: Api, text: str = "hi", **left: Any) -> None:
    api.prompt("ses_a", text)
    job = api.worker.claim_one()
    api.store.exchange("w1", [_finished(job, **left)], slots=0, lease_ms=30_000)


def _finished(job: Any, outcome: Outcome = Outcome.SUCCEEDED, parts: Any = PARTS) -> Any:
    return Finished(job.tenant, job.session_id, job.incarnation, job.id, job.attempt, AttemptEnd(outcome, parts=parts))


def test_a_turn_is_told_in_the_words_of_opencodes_document(api: Api) -> None:
    answered(api)
    assert kinds(history(api)) == [
        *("prompt.admitted", "prompted", "step.started", "reasoning.started", "reasoning.ended"),
        *("tool.input.started", "tool.input.ended", "tool.called", "tool.success"),
        *("tool.input.started", "tool.input.ended", "tool.called", "tool.failed"),
        *("text.started", "text.ended", "step.ended"),
    ]


def test_a_turn_without_an_answer_says_why(api: Api) -> None:
    answered(api, outcome=Outcome.CANCELLED, parts=())
    assert kinds(history(api)) == ["prompt.admitted", "prompted", "step.started", "step.failed"]


def test_pages_make_up_the_whole_and_their_numbers_rise(api: Api) -> None:
    for number in range(3):
        answered(api, f"p{number}")
    whole = history(api, "?limit=1000")
    assert not whole["hasMore"]
    assert numbers(whole) == sorted(set(numbers(whole)))
    paged: list[Any] = []
    query = "?limit=7"
    while True:
        page = history(api, query)
        paged += page["data"]
        assert page["hasMore"] == (len(paged) < len(whole["data"]))
        if not page["hasMore"]:
            break
        query = f"?limit=7&after={numbers(page)[-1]}"
    assert paged == whole["data"]


def test_reading_again_gives_the_same_and_what_is_new_has_higher_numbers(api: Api) -> None:
    """Whatever order prompts come and end in."""
    seen: list[Any] = []

    def look() -> None:
        page = history(api, "?limit=1000")["data"]
        assert page[: len(seen)] == seen
        seen[:] = page

    for text in ("first", "second", "third"):
        api.prompt("ses_a", text, messageID=f"msg_{text}")
        look()
    assert [each["data"]["messageID"] for each in seen] == ["msg_first"]
    api.post(f"/job/{api.get('/job').json()[0]['id']}/cancel")
    look()
    for _ in range(2):
        job = api.worker.claim_one()
        look()
        api.store.exchange("w1", [_finished(job)], slots=0, lease_ms=30_000)
        look()
    api.prompt("ses_a", "said only", noReply=True, messageID="msg_said")
    look()
    admitted = [each["data"]["messageID"] for each in seen if each["type"].endswith("prompt.admitted")]
    assert admitted == ["msg_first", "msg_second", "msg_third", "msg_said"]


def test_a_long_session_is_read_page_by_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "PAGE", 3)
    for number in range(5):
        answered(api, f"p{number}")
    whole = history(api, "?limit=1000")["data"]
    assert len(whole) == 5 * 16
    for index in range(0, len(whole), 7):
        after = whole[index]["durable"]["seq"]
        assert history(api, f"?limit=1000&after={after}")["data"] == whole[index + 1 :]


def test_wrong_numbers_are_refused(api: Api) -> None:
    api.prompt("ses_a")
    for query in ("?after=x", "?after=-1", "?limit=0", "?limit=9999", "?unknown=1"):
        answer = api.get(PATH.format(sessionID="ses_a") + query)
        assert answer.status_code == 400
        validate("GET", PATH, answer)


def test_a_stream_gives_what_was_and_goes_on_with_what_comes() -> None:
    with serving() as served:
        worker = Worker(served.store)
        admit_job(served.store, "ses_a", "first")
        worker.run()
        follower = Follower(served.port, "/api/session/ses_a/event").start()
        try:
            before = len(served_history(served.store))
            follower.has(before)
            admit_job(served.store, "ses_a", "second")
            worker.run()
            whole = served_history(served.store)
            follower.has(len(whole))
            assert follower.events == whole
            schema = {"$ref": "#/components/schemas/SessionDurableEvent", "components": DOCUMENT["components"]}
            for event in follower.events:
                Draft202012Validator(schema).validate(event)
            later = Follower(served.port, f"/api/session/ses_a/event?after={whole[2]['durable']['seq']}").start()
            later.has(len(whole) - 3)
            assert later.events == whole[3:]
            later.close()
            served.store.delete_session("default", "ses_a")
            eventually(lambda: follower.ended, what="the stream of a session that is gone ends")
        finally:
            follower.close()


def served_history(store: Any) -> list[Any]:
    return list(durable.read(store, "default", "ses_a", after=-1, limit=1000).events)


def test_a_wait_ends_when_the_session_has_nothing_to_do() -> None:
    with serving() as served:
        worker = Worker(served.store)
        url = f"http://127.0.0.1:{served.port}/api/session/ses_a/wait"
        admit_job(served.store, "ses_a", "first")
        admit_job(served.store, "ses_a", "second")
        answers: list[int] = []
        thread = threading.Thread(target=lambda: answers.append(httpx2.post(url, timeout=30).status_code))
        thread.start()
        worker.finish(worker.claim_one())
        assert answers == []
        worker.run()
        thread.join(20)
        assert answers == [204]
        assert httpx2.post(url).status_code == 204
