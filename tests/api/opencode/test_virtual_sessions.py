"""A server may show sessions that are not there as a prompt would make them. It writes nothing by that."""

import pytest

from tests.api.conftest import Api, Apis
from tests.api.opencode.documented import validate


@pytest.fixture
def served(apis: Apis) -> Api:
    return apis.start(virtual_sessions=True)


def test_a_session_that_is_not_there_is_shown_as_it_would_be_made(served: Api) -> None:
    shown = served.get("/session/ses_mine", params={"directory": "/home/me"})
    virtual = validate("GET", "/session/{sessionID}", shown)
    served.prompt("ses_mine")
    real = served.get("/session/ses_mine").json()
    for each in (virtual, real):
        del each["time"], each["title"]
    assert virtual.pop("directory") == "/home/me"
    assert real.pop("directory") == "/"
    assert virtual == real


def test_showing_it_writes_nothing(served: Api) -> None:
    for _ in range(2):
        assert served.get("/session/ses_mine").status_code == 200
        assert served.get("/session/ses_mine/message").json() == []
        assert served.get("/session/ses_mine/todo").json() == []
    assert served.get("/session").json() == []
    assert served.client.patch("/session/ses_mine", json={"title": "x"}).status_code == 404
    assert served.post("/session/ses_mine/fork").status_code == 404
    created = served.post("/session", {"id": "ses_mine"})
    assert created.headers["promptq-session"] == "created"


def test_a_wrong_id_is_still_wrong(served: Api) -> None:
    assert served.get("/session/mine").status_code == 400


def test_it_is_off_unless_the_operator_says_so(apis: Apis) -> None:
    assert apis.start().get("/session/ses_mine").status_code == 404
