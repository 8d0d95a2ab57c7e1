"""OpenCode's newer surface, `/api/session…`: the same sessions, in the shapes of its document."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from domain.jobs import Outcome
from domain.messages import Usage
from tests.api.conftest import Api, Apis, a_prompt
from tests.api.opencode.documented import validate
from tests.support.keys import bearer, keyed

ID = "/api/session/{sessionID}"


def said(text: str = "hi", **fields: Any) -> dict[str, Any]:
    return {"prompt": {"text": text}, **fields}


def asked(api: Api, method: str, path: str, status: int, body: Any = None, **names: str) -> Any:
    """Call, and hold the answer against the document."""
    more: dict[str, Any] = {} if body is None else {"json": body}
    answer = api.client.request(method, path.format(**names), **more)
    assert answer.status_code == status, answer.text
    return validate(method, path.partition("?")[0], answer)


def test_a_session_is_made_by_its_name_once(api: Api) -> None:
    body = {"id": "ses_a", "agent": "plan", "model": {"providerID": "echo", "id": "echo"}}
    first = asked(api, "POST", "/api/session", 200, body)["data"]
    assert first["id"] == "ses_a"
    assert asked(api, "POST", "/api/session", 200, body)["data"] == first
    assert api.get("/session/ses_a").json()["agent"] == "plan"
    differs = api.post("/api/session", {**body, "agent": "build"})
    assert differs.status_code == 409
    assert differs.json()["_tag"] == "ConflictError"
    assert asked(api, "POST", "/api/session", 200, {})["data"]["id"].startswith("ses_")
    asked(api, "POST", "/api/session", 400, {"id": "mine"})
    asked(api, "POST", "/api/session", 400, {"nonsense": 1})
    placed = asked(api, "POST", "/api/session", 200, {"location": {"directory": "/x", "workspaceID": "wrk_1"}})
    assert placed["data"]["location"] == {"directory": "/x", "workspaceID": "wrk_1"}


def test_it_is_the_same_session_by_either_surface(api: Api) -> None:
    model = {"providerID": "echo", "id": "echo"}
    assert api.post("/session", {"id": "ses_a", "agent": "plan", "model": model}).status_code == 200
    again = api.post("/api/session", {"id": "ses_a", "agent": "plan", "model": model})
    assert (again.status_code, again.headers["promptq-session"]) == (200, "resumed")
    assert asked(api, "GET", ID, 200, sessionID="ses_a")["data"]["model"] == model


def test_fifty_callers_that_ask_for_the_same_at_once_make_it_once(api: Api) -> None:
    def create(number: int) -> str:
        path = ("/session", "/api/session")[number % 2]
        answer = api.post(path, {"id": "ses_ours", "agent": "plan"})
        assert answer.status_code == 200
        return str(answer.headers["promptq-session"])

    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(create, range(50)))
    assert sorted(outcomes) == ["created"] + ["resumed"] * 49
    assert [each["id"] for each in api.get("/session").json()] == ["ses_ours"]


def test_sessions_are_listed_in_pages(api: Api) -> None:
    for name in "abc":
        api.post("/session", {"id": f"ses_{name}", "title": f"Title {name}"})
    seen: list[str] = []
    query = "?limit=1"
    while True:
        page = asked(api, "GET", f"/api/session{query}", 200)
        seen += [each["id"] for each in page["data"]]
        if "next" not in page["cursor"]:
            break
        query = f"?limit=1&cursor={page['cursor']['next']}"
    assert sorted(seen) == ["ses_a", "ses_b", "ses_c"]
    assert [each["id"] for each in asked(api, "GET", "/api/session?search=title b", 200)["data"]] == ["ses_b"]
    assert asked(api, "GET", "/api/session?project=other", 200)["data"] == []
    for wrong in ("limit=x", "limit=0", "order=asc", "cursor=x", "unknown=1"):
        asked(api, "GET", f"/api/session?{wrong}", 400)


def test_what_a_session_answers_with_can_be_switched(api: Api) -> None:
    asked(api, "POST", "/api/session", 200, {"id": "ses_a"})
    asked(api, "POST", f"{ID}/agent", 204, {"agent": "plan"}, sessionID="ses_a")
    model = {"providerID": "echo", "id": "echo", "variant": "high"}
    asked(api, "POST", f"{ID}/model", 204, {"model": model}, sessionID="ses_a")
    shown = asked(api, "GET", ID, 200, sessionID="ses_a")["data"]
    assert (shown["agent"], shown["model"]) == ("plan", model)
    asked(api, "POST", f"{ID}/model", 400, {"model": {"providerID": "nobody", "id": "x"}}, sessionID="ses_a")
    asked(api, "POST", f"{ID}/agent", 400, {}, sessionID="ses_a")
    asked(api, "POST", f"{ID}/agent", 404, {"agent": "plan"}, sessionID="ses_none")


def test_a_prompt_is_kept_once_under_its_name(api: Api) -> None:
    first = asked(api, "POST", f"{ID}/prompt", 200, said(id="msg_1", delivery="queue"), sessionID="ses_new")["data"]
    assert (first["id"], first["sessionID"], first["delivery"]) == ("msg_1", "ses_new", "queue")
    assert first["prompt"] == {"text": "hi"}
    assert asked(api, "POST", f"{ID}/prompt", 200, said(id="msg_1"), sessionID="ses_new")["data"] == first
    asked(api, "POST", f"{ID}/prompt", 409, said("other", id="msg_1"), sessionID="ses_new")
    older = api.post("/session/ses_new/prompt_async", a_prompt(messageID="msg_1"))
    assert older.status_code == 204
    assert len(api.get("/job").json()) == 1
    api.worker.run()
    again = asked(api, "POST", f"{ID}/prompt", 200, said(id="msg_1"), sessionID="ses_new")["data"]
    assert again.pop("promotedSeq") > first["admittedSeq"]
    assert again == first


def test_what_promptq_does_not_do_with_prompts_is_refused_before_anything_is_kept(api: Api) -> None:
    refused: list[dict[str, Any]] = [
        said(delivery="steer"),
        said(resume=False),
        {},
        {"prompt": {"text": "x", "files": [{"uri": "file:///etc/passwd"}]}},
        {"prompt": {"text": "x", "files": [{"uri": "data:,x", "description": "x"}]}},
        said(nonsense=1),
    ]
    for body in refused:
        assert asked(api, "POST", f"{ID}/prompt", 400, body, sessionID="ses_a")["_tag"] == "InvalidRequestError"
    asked(api, "POST", f"{ID}/prompt", 400, said(), sessionID="none")
    assert api.get("/session").json() == []


def test_files_and_agents_come_back_as_they_were_said(api: Api) -> None:
    source = {"start": 0, "end": 2, "text": "@a"}
    prompt = {
        "text": "see @a",
        "files": [{"uri": "data:text/x-c;base64,eA==", "name": "a.c", "source": source}, {"uri": "data:,y"}],
        "agents": [{"name": "plan", "source": source}, {"name": "other"}],
    }
    admitted = asked(api, "POST", f"{ID}/prompt", 200, {"prompt": prompt}, sessionID="ses_a")["data"]
    files = [{**prompt["files"][0], "mime": "text/x-c"}, {"uri": "data:,y", "mime": "text/plain"}]  # type: ignore[dict-item]
    assert admitted["prompt"] == {**prompt, "files": files}
    listed = asked(api, "GET", f"{ID}/message", 200, sessionID="ses_a")["data"]
    assert {name: listed[0][name] for name in prompt} == admitted["prompt"]


def test_messages_are_listed_the_latest_first_and_context_in_order(api: Api) -> None:
    for number in range(3):
        asked(api, "POST", f"{ID}/prompt", 200, said(f"p{number}", id=f"msg_{number}"), sessionID="ses_a")
    job = api.worker.claim_one()
    api.worker.finish(job, usage=Usage(input=1, output=2, cache_read=3), cost=0.5, finish="stop")
    api.worker.finish(api.worker.claim_one(), Outcome.FAILED)
    api.worker.run()
    listed: list[Any] = []
    query = "?limit=2"
    while True:
        page = asked(api, "GET", f"{ID}/message{query}", 200, sessionID="ses_a")
        listed += page["data"]
        if "next" not in page["cursor"]:
            break
        query = f"?limit=2&cursor={page['cursor']['next']}"
    whole = asked(api, "GET", f"{ID}/context", 200, sessionID="ses_a")["data"]
    assert listed == whole[::-1]
    assert [each["type"] for each in whole] == ["user", "assistant"] * 3
    assert [each.get("finish") for each in whole[1::2]] == ["stop", "error", None]
    assert (
        asked(api, "GET", f"{ID}/message/{{messageID}}", 200, sessionID="ses_a", messageID="msg_1")["data"] == whole[2]
    )
    asked(api, "GET", f"{ID}/message/{{messageID}}", 404, sessionID="ses_a", messageID="msg_none")
    for wrong in ("limit=0", "order=asc", "cursor=x"):
        asked(api, "GET", f"{ID}/message?{wrong}", 400, sessionID="ses_a")


def test_an_interrupt_cancels_what_is_answered_now_and_nothing_behind_it(api: Api) -> None:
    asked(api, "POST", "/api/session", 200, {"id": "ses_a"})
    asked(api, "POST", f"{ID}/interrupt", 204, sessionID="ses_a")
    for number in range(2):
        asked(api, "POST", f"{ID}/prompt", 200, said(id=f"msg_{number}"), sessionID="ses_a")
    asked(api, "POST", f"{ID}/interrupt", 204, sessionID="ses_a")
    assert [job["state"] for job in api.get("/job").json()] == ["queued", "cancelled"]
    running = api.worker.claim_one()
    assert asked(api, "GET", "/api/session/active", 200) == {"data": {"ses_a": {"type": "running"}}}
    asked(api, "POST", f"{ID}/interrupt", 204, sessionID="ses_a")
    assert api.store.look("w1", [("default", running.id, 1)]).cancelled == {running.id}
    asked(api, "POST", f"{ID}/interrupt", 404, sessionID="ses_none")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", ID, None),
        ("GET", f"{ID}/message", None),
        ("GET", f"{ID}/context", None),
        ("GET", f"{ID}/history", None),
        ("GET", f"{ID}/event", None),
        ("POST", f"{ID}/wait", None),
        ("POST", f"{ID}/interrupt", None),
        ("GET", f"{ID}/message/msg_1", None),
        ("POST", f"{ID}/agent", {"agent": "x"}),
    ],
)
def test_a_session_that_is_not_there_is_not_found(api: Api, method: str, path: str, body: Any) -> None:
    answer = api.client.request(method, path.format(sessionID="ses_none"), json=body)
    assert answer.status_code == 404
    assert answer.json() == {
        "_tag": "SessionNotFoundError",
        "sessionID": "ses_none",
        "message": "Session not found: ses_none",
    }
    wrong = api.client.request(method, path.format(sessionID="none"), json=body)
    assert (wrong.status_code, wrong.json()["_tag"]) == (400, "InvalidRequestError")


def test_another_tenants_session_is_as_one_that_is_not_there(apis: Apis) -> None:
    configuration, keys = keyed("one", "two")
    served = apis.start(configuration=configuration)
    one, two = bearer(keys["one"]), bearer(keys["two"])
    made = served.post("/api/session", {"id": "ses_x", "agent": "of-one"}, headers=one)
    assert made.status_code == 200
    served.post("/api/session/ses_x/prompt", said("of one", id="msg_1"), headers=one)
    for path in ("", "/message", "/context", "/history", "/event", "/message/msg_1", "/permission", "/question"):
        assert served.get(f"/api/session/ses_x{path}", headers=two).status_code == 404, path
    for path, body in (("wait", None), ("interrupt", None), ("agent", {"agent": "x"})):
        assert served.post(f"/api/session/ses_x/{path}", body, headers=two).status_code == 404, path
    assert served.get("/api/session", headers=two).json()["data"] == []
    assert served.get("/api/session/active", headers=two).json() == {"data": {}}
    mine = served.post("/api/session/ses_x/prompt", said("of two", id="msg_1"), headers=two)
    assert (mine.status_code, mine.headers["promptq-session"]) == (200, "created")
    assert "agent" not in served.get("/api/session/ses_x", headers=two).json()["data"]
