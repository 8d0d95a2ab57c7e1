"""Whatever is sent, the answer is a clear one: never 500, and what was refused left nothing behind."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.main import create_app
from domain.requests.prompts import PromptRequest
from domain.requests.sessions import CreateSession
from domain.settings import Settings
from tests.api.conftest import Bell
from tests.support.memory_store import MemoryStore

FIELDS = [*PromptRequest.model_fields, *CreateSession.model_fields, "type", "text", "url", "mime", "schema", "echo"]
WORDS = [
    "text",
    "file",
    "echo",
    "ses_a",
    "msg_1",
    "prt_1",
    "wrk_1",
    "data:,x",
    "stop",
    "error",
    "queue",
    "\0",
    "\ud800",
]

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(WORDS)
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)
bodies = st.dictionaries(st.sampled_from(FIELDS), values, max_size=6)
parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=5)}), min_size=1, max_size=2)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_app(Settings.model_validate({"redis_url": None}), store=MemoryStore, bell=Bell)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made


def calm(client: TestClient, method: str, path: str, **more: Any) -> None:
    answer = client.request(method, path, **more)
    assert answer.status_code in (200, 204, 400, 404, 405, 409), answer.text
    if answer.status_code >= 400:
        body = answer.json()
        assert body.get("message") or body["data"]["message"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies, said=parts, keep=st.booleans())
def test_no_body_is_too_strange(client: TestClient, body: dict[str, Any], said: Any, keep: bool) -> None:
    if keep:
        body = {**body, "parts": said}
    raw = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    for path in ("/session", "/session/ses_a/prompt_async", "/session/ses_a/fork", "/session/ses_a/abort"):
        calm(client, "POST", path, content=raw, headers=headers)
    calm(client, "PATCH", "/session/ses_a", content=raw, headers=headers)
    if "noReply" in body:
        calm(client, "POST", "/session/ses_b/message", content=raw, headers=headers) if body[
            "noReply"
        ] is True else None


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=60))
def test_no_bytes_are_too_strange(client: TestClient, raw: bytes) -> None:
    calm(client, "POST", "/session", content=raw, headers={"Content-Type": "application/json"})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(
        ["limit", "cursor", "before", "start", "search", "roots", "state", "sessionID", "timeout", "x"]
    ),
    value=st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.integers().map(str)
    | st.floats().map(str),
)
def test_no_query_is_too_strange(client: TestClient, name: str, value: str) -> None:
    for path in ("/session", "/session/ses_a/message", "/session/ses_a/children", "/job", "/job/job_1/wait"):
        calm(client, "GET", path, params={name: value})
