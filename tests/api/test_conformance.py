"""Answers are as OpenCode's document declares them for their status; requests that it allows are understood."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator

from domain.jobs import Failure, Outcome
from domain.messages import Usage
from tests.api.conftest import Api, a_prompt

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "opencode-sessions.json").read_text("utf-8"))


class Checked:
    """Calls an API and holds each answer against the document."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.seen: set[tuple[str, str, str]] = set()

    def __call__(self, method: str, path: str, status: int, body: Any = None, **names: str) -> Any:
        more: dict[str, Any] = {} if body is None else {"json": body}
        answer = self.api.client.request(method.upper(), path.format(**names), **more)
        assert answer.status_code == status, answer.text
        return self.check(method, path, answer)

    def check(self, method: str, path: str, answer: httpx2.Response) -> Any:
        operation = DOCUMENT["paths"][path.partition("?")[0]][method]
        declared = operation["responses"].get(str(answer.status_code))
        assert declared is not None, f"{method} {path} declares no {answer.status_code}"
        self.seen.add((method, path.partition("?")[0], str(answer.status_code)))
        if "content" not in declared:
            assert answer.content == b""
            return None
        schema = {**declared["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(answer.json())
        return answer.json()


@pytest.fixture
def checked(api: Api) -> Checked:
    return Checked(api)


ID = "/session/{sessionID}"


def test_sessions_are_shaped_as_opencode_says(checked: Checked) -> None:
    rules = [{"permission": "bash", "pattern": "*", "action": "ask"}]
    body = {
        "title": "A",
        "agent": "plan",
        "model": {"id": "echo", "providerID": "echo", "variant": "high"},
        "metadata": {"x": [1]},
        "permission": rules,
        "workspaceID": "wrk_1",
    }
    checked("post", "/session", 200)
    checked("post", "/session", 200, {**body, "id": "ses_a"})
    checked("post", "/session", 200, {"id": "ses_b", "parentID": "ses_a"})
    checked("post", "/session", 400, {"title": 1})
    checked("get", "/session", 200)
    checked("get", "/session?limit=x", 400)
    checked("get", ID, 200, sessionID="ses_a")
    checked("get", ID, 400, sessionID="abc")
    checked("get", ID, 404, sessionID="ses_none")
    checked("patch", ID, 200, {"title": "B", "time": {"archived": 1.0}}, sessionID="ses_a")
    checked("patch", ID, 400, {"title": 1}, sessionID="ses_a")
    checked("patch", ID, 404, {"title": "B"}, sessionID="ses_none")
    checked("get", f"{ID}/children", 200, sessionID="ses_a")
    checked("get", f"{ID}/children", 400, sessionID="abc")
    checked("get", f"{ID}/children", 404, sessionID="ses_none")
    checked("post", f"{ID}/fork", 200, {}, sessionID="ses_a")
    checked("post", f"{ID}/fork", 400, {"messageID": "x"}, sessionID="ses_a")
    checked("post", f"{ID}/fork", 404, sessionID="ses_none")
    checked("post", f"{ID}/abort", 200, sessionID="ses_a")
    checked("post", f"{ID}/abort", 400, sessionID="abc")
    checked("delete", ID, 200, sessionID="ses_a")
    checked("delete", ID, 400, sessionID="abc")
    checked("delete", ID, 404, sessionID="ses_a")


def test_messages_and_statuses_are_shaped_as_opencode_says(checked: Checked) -> None:
    api = checked.api
    names = {"sessionID": "ses_a"}
    source = {"type": "file", "path": "/a", "text": {"value": "x", "start": 0, "end": 1}}
    parts = [
        {"type": "text", "text": "hi", "synthetic": True, "ignored": False, "time": {"start": 1, "end": 2}},
        {"type": "text", "text": "", "metadata": {"x": 1}, "id": "prt_1"},
        {"type": "file", "mime": "text/plain", "url": "data:,x", "filename": "a", "source": source},
        {"type": "agent", "name": "plan", "source": {"value": "@plan", "start": 0, "end": 5}},
        {"type": "subtask", "prompt": "p", "description": "d", "agent": "a", "command": "c"},
    ]
    whole = {
        "parts": parts,
        "messageID": "msg_1",
        "model": {"providerID": "echo", "modelID": "echo"},
        "variant": "high",
        "agent": "plan",
        "system": "s",
        "tools": {"bash": True},
        "format": {"type": "json_schema", "schema": {"type": "object"}, "retryCount": 1},
    }
    checked("post", f"{ID}/prompt_async", 204, whole, **names)
    checked("get", "/session/status", 200)
    checked("get", "/session/status?x=1", 400)
    usage = Usage(input=1, output=2, reasoning=3, cache_read=4, cache_write=5)
    api.worker.finish(api.worker.claim_one(), usage=usage, cost=0.5, finish="stop")
    checked("post", f"{ID}/message", 200, whole, **names)
    endings = [
        Outcome.CANCELLED,
        Outcome.FAILED,
    ]
    for number, outcome in enumerate(endings):
        for from_provider in (False, True):
            prompt = a_prompt(messageID=f"msg_{number}_{from_provider}")
            checked("post", f"{ID}/prompt_async", 204, prompt, **names)
            failure = Failure("x", "y", status=500 if from_provider else None, from_provider=from_provider)
            api.worker.finish(api.worker.claim_one(), outcome, failure=failure)
            answer = checked("post", f"{ID}/message", 200, prompt, **names)
            assert "error" in answer["info"]
    checked("post", f"{ID}/prompt_async", 204, a_prompt(messageID="msg_expired", expiresAt=1), **names)
    api.worker.run()
    api.store.reconcile(limit=10)
    checked("post", f"{ID}/message", 200, a_prompt(messageID="msg_expired", expiresAt=1), **names)
    checked("post", f"{ID}/prompt_async", 204, a_prompt(noReply=True), **names)
    listed = checked("get", f"{ID}/message", 200, **names)
    assert len(listed) == 13
    checked("get", f"{ID}/message/{{messageID}}", 200, messageID="msg_1", **names)
    checked("get", f"{ID}/message/{{messageID}}", 200, messageID=listed[1]["info"]["id"], **names)
    checked("get", f"{ID}/message/{{messageID}}", 404, messageID="msg_none", **names)
    checked("get", f"{ID}/message/{{messageID}}", 400, messageID="none", **names)
    checked("get", f"{ID}/message", 400, sessionID="none")
    checked("get", f"{ID}/message", 404, sessionID="ses_none")
    for verb in ("message", "prompt_async"):
        checked("post", f"{ID}/{verb}", 400, {}, **names)
        checked("post", f"{ID}/{verb}", 404, a_prompt(ifMissing="fail"), sessionID="ses_none")


def test_a_session_that_backs_off_is_said_to_retry(checked: Checked) -> None:
    api = checked.api
    api.prompt()
    api.worker.finish(api.worker.claim_one(), Outcome.TRANSIENT, retry_after_ms=60_000)
    status = checked("get", "/session/status", 200)["ses_a"]
    assert status["type"] == "retry"
    assert status["attempt"] == 1
    assert status["next"] > status["attempt"]


def test_a_forked_message_is_shaped_as_opencode_says(checked: Checked) -> None:
    checked.api.prompt(system="s")
    checked.api.worker.run()
    checked("post", f"{ID}/fork", 200, {"id": "ses_b"}, sessionID="ses_a")
    assert len(checked("get", f"{ID}/message", 200, sessionID="ses_b")) == 2


@pytest.mark.parametrize(
    ("path", "method"), [(path, method) for path in DOCUMENT["paths"] for method in DOCUMENT["paths"][path]]
)
def test_every_query_parameter_that_opencode_declares_is_taken(api: Api, path: str, method: str) -> None:
    examples = {
        "directory": "/x",
        "workspace": "wrk_1",
        "scope": "project",
        "path": "",
        "roots": "true",
        "start": "1.5",
        "search": "x",
        "limit": "5",
        "before": "",
    }
    api.prompt("ses_a", messageID="msg_1")
    declared = [each["name"] for each in DOCUMENT["paths"][path][method]["parameters"] if each["in"] == "query"]
    query = {name: examples[name] for name in declared if name != "before"}
    more: dict[str, Any] = {}
    if path.endswith(("/message", "/prompt_async")) and method == "post":
        more["json"] = a_prompt(noReply=True)
    if method == "patch":
        more["json"] = {}
    names = {"sessionID": "ses_a", "messageID": "msg_1"}
    answer = api.client.request(method.upper(), path.format(**names), params=query, **more)
    assert answer.is_success, answer.text
