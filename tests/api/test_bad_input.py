"""What is wrong is refused with a clear 4xx that names the field, before anything is stored; and never with 500."""

from typing import Any

import pytest

from tests.api.conftest import Api, Apis, a_prompt

PROMPT = "/session/ses_a/prompt_async"


@pytest.fixture
def api(memory_apis: Apis) -> Api:
    return memory_apis.start()


def raw(api: Api, body: bytes | str, path: str = PROMPT, content_type: str | None = "application/json") -> Any:
    headers = {} if content_type is None else {"Content-Type": content_type}
    content = body if isinstance(body, bytes) else body.encode()
    return api.client.post(path, content=content, headers=headers)


def refused(api: Api, answer: Any, field: str | None = None) -> str:
    """Check that an answer is a clear refusal, and that nothing was stored; return what it says."""
    assert answer.status_code == 400, answer.text
    body = answer.json()
    data = body if "_tag" in body else body["data"]
    assert data.get("field") == field, body
    assert data["message"]
    assert api.get("/session").json() == []
    assert api.get("/job").json() == []
    return str(data["message"])


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "nonsense",
        '{"parts": [}',
        '{"parts": [{"type": "text", "text": "hi"}]} more',
        "{'parts': []}",
        '{"parts": [{"type": "text", "text": "\\ud800"}]}',
        '{"parts": [{"type": "text", "text": "hi"}], "metadata": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"parts": [{"type": "text", "text": "hi"}], "priority": ' + "9" * 5000 + "}",
        b'{"parts": [{"type": "text", "text": "\xff\xfe"}]}',
        b"\xef\xbb\xbf{}",
        b"\x00",
    ],
)
def test_what_is_not_json_is_refused(api: Api, body: bytes | str) -> None:
    assert "not JSON" in refused(api, raw(api, body))


@pytest.mark.parametrize("body", ["[]", "3", '"text"', "null", "true"])
def test_json_that_is_no_object_is_refused(api: Api, body: str) -> None:
    refused(api, raw(api, body))
    refused(api, raw(api, body, "/session"))


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"]
)
def test_another_content_type_is_refused(api: Api, content_type: str | None) -> None:
    body = '{"parts": [{"type": "text", "text": "hi"}]}'
    refused(api, raw(api, body, content_type=content_type), "Content-Type")
    assert raw(api, body, content_type="application/json; charset=UTF-8").status_code == 204


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "parts"),
        ({"parts": []}, "parts"),
        ({"parts": "hi"}, "parts"),
        ({"parts": ["hi"]}, "parts.0"),
        ({"parts": [{"text": "hi"}]}, "parts.0"),
        ({"parts": [{"type": "video"}]}, "parts.0"),
        ({"parts": [{"type": "text"}]}, "parts.0.text"),
        ({"parts": [{"type": "text", "text": 3}]}, "parts.0.text"),
        ({"parts": [{"type": "text", "text": "a"}, {"type": "text", "text": "b", "colour": 1}]}, "parts.1.colour"),
        ({"parts": [{"type": "text", "text": "a", "id": "1"}]}, "parts.0.id"),
        ({"parts": [{"type": "text", "text": "a", "id": "prt_1"}] * 2}, "parts.1.id"),
        ({"parts": [{"type": "text", "text": "a", "time": {"start": -1}}]}, "parts.0.time.start"),
        ({"parts": [{"type": "subtask", "prompt": "x", "description": "y"}]}, "parts.0.agent"),
        (a_prompt(unknown=1), "unknown"),
        (a_prompt(noreply=True), "noreply"),
        (a_prompt(noReply="yes"), "noReply"),
        (a_prompt(messageID="abc"), "messageID"),
        (a_prompt(messageID="msg_a/b"), "messageID"),
        (a_prompt(messageID="msg_" + "a" * 200), "messageID"),
        (a_prompt(model="echo/echo"), "model"),
        (a_prompt(model={"providerID": "echo"}), "model.modelID"),
        (a_prompt(model={"providerID": "echo", "modelID": "loud"}), "model"),
        (a_prompt(model={"providerID": "nobody", "modelID": "x"}), "model"),
        (a_prompt(agent=""), "agent"),
        (a_prompt(agent="a\0b"), "agent"),
        (a_prompt(variant="a\0b"), "variant"),
        (a_prompt(system=None), "system"),
        (a_prompt(tools={"bash": "no"}), "tools.bash"),
        (a_prompt(format={"type": "json_schema"}), "format.schema"),
        (a_prompt(format={"type": "yaml"}), "format"),
        (a_prompt(ifMissing="maybe"), "ifMissing"),
        (a_prompt(whenBusy="wait"), "whenBusy"),
        (a_prompt(priority=10), "priority"),
        (a_prompt(priority=-1), "priority"),
        (a_prompt(priority=5.0), "priority"),
        (a_prompt(priority=True), "priority"),
        (a_prompt(maxAttempts=0), "maxAttempts"),
        (a_prompt(maxAttempts=10**30), "maxAttempts"),
        (a_prompt(timeout=0), "timeout"),
        (a_prompt(timeout=10**9), "timeout"),
        (a_prompt(timeout="600"), "timeout"),
        (a_prompt(notBefore=-1), "notBefore"),
        (a_prompt(notBefore=2**53), "notBefore"),
        (a_prompt(notBefore="tomorrow"), "notBefore"),
        (a_prompt(notBefore=6, expiresAt=5), "expiresAt"),
        (a_prompt(noReply=True, priority=1), "priority"),
        (a_prompt(noReply=True, expiresAt=5), "expiresAt"),
        (a_prompt(metadata=[]), "metadata"),
        (a_prompt(metadata={"x": [{"y": 2**64}]}), "metadata"),
        (a_prompt(metadata={"echo": {"delay": 1}}), "metadata.echo"),
    ],
)
def test_a_prompt_with_a_wrong_field_is_refused_by_the_fields_name(api: Api, body: Any, field: str) -> None:
    refused(api, api.post(PROMPT, body), field)
    refused(api, api.post("/session/ses_a/message", body), field)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "the body is empty, and so not JSON"),
        ('{"parts": []}', "parts: must not be empty"),
        ('{"parts": [{"text": "hi"}]}', "parts.0: type is required"),
        ('{"parts": [{"type": "txt"}]}', "parts.0: type must be one of 'text', 'file', 'agent', 'subtask'"),
        (
            '{"parts": [{"type": "text", "text": "hi"}], "model": "echo/echo"}',
            "model: must be an object with providerID and modelID",
        ),
    ],
)
def test_a_common_mistake_is_told_in_the_callers_words(api: Api, body: str, sentence: str) -> None:
    answer = raw(api, body)
    assert answer.status_code == 400
    assert answer.json()["message"] == sentence


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_without_an_end_are_refused(api: Api, number: str) -> None:
    begin = '{"parts": [{"type": "text", "text": "hi"}], '
    assert raw(api, begin + f'"timeout": {number}}}').status_code == 400
    assert raw(api, begin + f'"metadata": {{"x": [{number}]}}}}').status_code == 400
    assert raw(api, f'{{"metadata": {{"x": {number}}}}}', "/session").status_code == 400
    assert api.get("/session").json() == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "https://example.com/a.png",
        "file:///etc/passwd",
        "/etc/passwd",
        "data",
        "data:",
        "data:image/png;base64",
        "data:image/png;base64,AAA",
        "data:image/png;base64,A*==",
        "",
    ],
)
def test_files_come_inside_their_urls_only(api: Api, url: str) -> None:
    part = {"type": "file", "mime": "image/png", "url": url}
    refused(api, api.post(PROMPT, {"parts": [part]}), "parts.0.url")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"unknown": 1}, "unknown"),
        ({"id": "abc"}, "id"),
        ({"id": "ses_"}, "id"),
        ({"id": "ses_a/b"}, "id"),
        ({"id": "ses_" + "a" * 200}, "id"),
        ({"id": "ses_ü"}, "id"),
        ({"id": "ses_a\n"}, "id"),
        ({"id": 5}, "id"),
        ({"title": "a\0b"}, "title"),
        ({"title": None}, "title"),
        ({"title": 5}, "title"),
        ({"title": "a" * 5000}, "title"),
        ({"agent": "a\0"}, "agent"),
        ({"parentID": "abc"}, "parentID"),
        ({"workspaceID": "abc"}, "workspaceID"),
        ({"model": {"providerID": "echo", "modelID": "echo"}}, "model.id"),
        ({"model": {"providerID": "echo", "id": "loud"}}, "model"),
        ({"metadata": {"x": 2**70}}, "metadata"),
        ({"permission": [{"permission": "bash", "pattern": "*", "action": "maybe"}]}, "permission.0.action"),
        ({"onFailure": "panic"}, "onFailure"),
        ({"ifExists": "ignore"}, "ifExists"),
        ({"ttl": 0}, "ttl"),
    ],
)
def test_a_session_with_a_wrong_field_is_refused_by_the_fields_name(api: Api, body: Any, field: str) -> None:
    refused(api, api.post("/session", body), field)


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/session/abc", "sessionID"),
        ("/session/ses_", "sessionID"),
        ("/session/ses_" + "a" * 200, "sessionID"),
        ("/session/ses_%00", "sessionID"),
        ("/session/ses_a%0A", "sessionID"),
        ("/session/ses_a%2Fb", None),
        ("/session/ses_a/message/abc", "messageID"),
        ("/session/ses_a/message/msg_a%2Fb", None),
        ("/session/ses_a/message?limit=-1", "limit"),
        ("/session/ses_a/message?limit=1e3", "limit"),
        ("/session/ses_a/message?limit=99999999999999999999", "limit"),
        ("/session?limit=0", "limit"),
        ("/session?limit=x", "limit"),
        ("/session?limit=5000", "limit"),
        ("/session?start=nan", "start"),
        ("/session?roots=perhaps", "roots"),
        ("/session?scope=world", "scope"),
        ("/session?search=%00", "search"),
        ("/session?unknown=1", "unknown"),
        ("/session?directory=a%00b", "directory"),
        ("/session?workspace=abc", "workspace"),
        ("/session?cursor=WzEsIjEiXQ_", "cursor"),
        ("/session?cursor=" + "A" * 2000, "cursor"),
        ("/session/ses_a?unknown=1", "unknown"),
        ("/session/status?limit=1", "limit"),
        ("/job/abc", "jobID"),
        ("/job/job_a%00", "jobID"),
        ("/job?state=done", "state.0"),
        ("/job?sessionID=abc", "sessionID"),
        ("/job?batchID=%00", "batchID"),
        ("/job?cursor=%C3%A9", "cursor"),
    ],
)
def test_a_path_or_query_that_is_wrong_is_refused(api: Api, path: str, field: str | None) -> None:
    refused(api, api.get(path), field)


@pytest.mark.parametrize("session", ["abc", "ses_", "ses_" + "a" * 200, "ses_a%2Fb", "ses_a%00", "SES_a", "ses_a b"])
@pytest.mark.parametrize("verb", ["prompt_async", "message"])
def test_a_prompt_to_a_name_that_is_no_sessions_is_refused(api: Api, session: str, verb: str) -> None:
    answer = api.post(f"/session/{session}/{verb}", a_prompt())
    refused(api, answer, None if "%2F" in session else "sessionID")


def test_unknown_query_parameters_of_prompts_are_refused_and_those_of_opencode_taken(api: Api) -> None:
    refused(api, api.post(f"{PROMPT}?wait=1", a_prompt()), "wait")
    refused(api, api.post(f"{PROMPT}?directory=a%00b", a_prompt()), "directory")
    assert api.post(f"{PROMPT}?directory=/x&workspace=wrk_1", a_prompt()).status_code == 204
    assert api.post("/session/ses_b/message?directory=&workspace=", a_prompt(noReply=True)).status_code == 200


@pytest.mark.parametrize("key", ["", "a" * 256, "a\tb", "ü"])
def test_an_idempotency_key_is_short_and_printable(api: Api, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    refused(api, api.post(PROMPT, a_prompt(), headers=headers), "Idempotency-Key")


def test_a_body_where_none_is_taken_is_refused(api: Api) -> None:
    api.post("/session", {"id": "ses_a"})
    answer = api.post("/session/ses_a/abort", {"force": True})
    assert (answer.status_code, answer.json()["field"]) == (400, "force")
    assert api.post("/session/ses_a/abort", {}).status_code == 200
    answer = api.post("/job/job_1/cancel", {"force": True})
    assert (answer.status_code, answer.json()["data"]["field"]) == (400, "force")


def test_a_change_with_a_wrong_field_is_refused(api: Api) -> None:
    api.post("/session", {"id": "ses_a", "title": "A"})
    for body, field in (
        ({"title": None}, "title"),
        ({"model": {}}, "model"),
        ({"time": {"archived": -1}}, "time.archived"),
        ({"time": {"created": 1}}, "time.created"),
        ({"permission": {}}, "permission"),
    ):
        answer = api.client.patch("/session/ses_a", json=body)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert api.client.patch("/session/ses_a", content=b"").status_code == 400
    assert api.get("/session/ses_a").json()["title"] == "A"


def test_faults_of_the_echo_model_are_obeyed_only_where_they_are_switched_on(memory_apis: Apis) -> None:
    api = memory_apis.start(echo_faults=True)
    wishes = {"delay": 0.1, "fail": "transient", "failTimes": 2, "stall": False}
    assert api.prompt(metadata={"echo": wishes}).status_code == 204
    answer = api.post(PROMPT, a_prompt(metadata={"echo": {"fail": "sometimes"}}))
    assert (answer.status_code, answer.json()["field"]) == (400, "metadata.echo.fail")


def test_a_refusal_repeats_no_content(api: Api) -> None:
    secret = "the secret text"
    for body in (
        {"parts": [{"type": "text", "text": [secret]}]},
        a_prompt(messageID=secret),
        a_prompt(agent={"x": secret}),
    ):
        assert secret not in api.post(PROMPT, body).text


def test_a_large_body_within_the_limit_is_taken(api: Api) -> None:
    assert api.prompt(text="x" * 1_000_000).status_code == 204


def test_what_is_nowhere_is_404_and_what_takes_another_method_405(api: Api) -> None:
    answer = api.get("/nowhere")
    assert (answer.status_code, answer.json()["name"]) == (404, "NotFoundError")
    answer = api.client.put("/session")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert answer.json()["name"] == "MethodNotAllowedError"
