"""What OpenCode's clients ask for at their start: answered truly, as empty, or with 501, and in the declared shapes."""

from typing import Any

import pytest

from api.opencode import absent, empty
from tests.api.conftest import Api, Apis
from tests.api.opencode.documented import validate

TOLD = ("/global/health", "/path", "/project", "/project/current", "/config", "/global/config", "/config/providers")
TOLD_TOO = ("/provider", "/agent", "/api/health", "/api/location", "/api/agent", "/api/model", "/api/provider")

NAMES = {"sessionID": "ses_a", "projectID": "global", "providerID": "echo"}


@pytest.fixture
def served(memory_apis: Apis) -> Api:
    return memory_apis.start()


@pytest.mark.parametrize("path", [*TOLD, *TOLD_TOO, "/api/provider/{providerID}"])
def test_what_is_told_is_shaped_as_opencode_says(served: Api, path: str) -> None:
    validate("GET", path, served.get(path.format(**NAMES)))
    refused = served.get(path.format(**NAMES), params={"unknown": "x"})
    assert refused.status_code == 400
    validate("GET", path, refused)


@pytest.mark.parametrize("each", empty.ALL, ids=lambda each: each.path)
def test_what_is_empty_is_shaped_as_opencode_says(served: Api, each: empty.Empty) -> None:
    served.post("/session", {"id": "ses_a"})
    query = dict.fromkeys((*each.needs, *each.takes), "x")
    validate("GET", each.path, served.get(each.path.format(**NAMES), params=query))
    for name in each.needs:
        without = {key: value for key, value in query.items() if key != name}
        refused = served.get(each.path.format(**NAMES), params=without)
        assert refused.status_code == 400
        validate("GET", each.path, refused)


@pytest.mark.parametrize("each", empty.OF_SESSIONS, ids=lambda each: each.path)
def test_a_session_that_is_not_there_has_not_even_nothing(served: Api, each: empty.Empty) -> None:
    assert served.get(each.path.format(sessionID="ses_none")).status_code == 404
    assert served.get(each.path.format(sessionID="none")).status_code == 400


@pytest.mark.parametrize("each", absent.ALL, ids=lambda each: each.path)
def test_what_is_not_offered_says_so_and_why(served: Api, each: absent.Absent) -> None:
    for method in each.methods:
        answer = served.client.request(method, each.path.replace("{", "").replace("}", "").replace("*", "a/b"))
        assert answer.status_code == 501
        body: dict[str, Any] = answer.json()
        if each.path.startswith("/api/"):
            assert body["_tag"] == "NotOfferedError"
            assert each.reason in body["message"]
        else:
            assert body["name"] == "NotOfferedError"
            assert each.reason in body["data"]["message"]


def test_a_client_is_told_where_it_says_that_it_is_and_nothing_of_the_servers_machine(served: Api) -> None:
    told = served.get("/path", params={"directory": "/home/me/project"}).json()
    assert told == {"home": "/", "state": "/", "config": "/", "worktree": "/", "directory": "/home/me/project"}
    query = {"location[directory]": "/home/me", "location[workspace]": "wrk_1"}
    there = {"directory": "/home/me", "workspaceID": "wrk_1", "project": {"id": "global", "directory": "/"}}
    assert served.get("/api/location", params=query).json() == there
    assert served.get("/api/location", params={"directory": "/home/me", "workspace": "wrk_1"}).json() == there
    for wrong in ({"workspace": "x"}, {"location[workspace]": "x"}, {"directory": "x" * 5000}):
        assert served.get("/api/location", params=wrong).status_code == 400


def test_the_models_are_those_that_prompts_may_name(memory_apis: Apis) -> None:
    served = memory_apis.start()
    config = served.get("/config").json()
    providers = served.get("/config/providers").json()
    assert config["model"] == "echo/echo"
    assert providers["default"] == {"echo": "echo"}
    assert [list(each["models"]) for each in providers["providers"]] == [["echo"]]
    assert served.get("/provider").json()["connected"] == ["echo"]
    unknown = served.get("/api/provider/nobody")
    assert unknown.status_code == 404
    assert validate("GET", "/api/provider/{providerID}", unknown)["providerID"] == "nobody"


def test_errors_under_api_go_by_their_tag(memory_apis: Apis) -> None:
    served = memory_apis.start(password="secret")
    refused = served.get("/api/health")
    assert refused.status_code == 401
    assert validate("GET", "/api/health", refused)["_tag"] == "UnauthorizedError"


def test_a_directory_may_be_said_in_a_header(served: Api) -> None:
    said = {"X-OpenCode-Directory": "%2Fhome%2Fm%C3%A9"}
    assert served.post("/session", {}, headers=said).json()["directory"] == "/home/mé"
    served.post("/session/ses_a/prompt_async", {"parts": [{"type": "text", "text": "hi"}]}, headers=said)
    assert served.get("/session/ses_a").json()["directory"] == "/home/mé"
    too_long = served.post("/session", {}, headers={"X-OpenCode-Directory": "x" * 5000})
    assert too_long.status_code == 400
