"""The server under `/ephemeral`: every new session there is ephemeral, no other is shown, the rest is the same."""

from pathlib import Path

import httpx2
import pytest
import redis

from storage.opening import open_stores
from tests.api.conftest import Api, Apis, a_prompt, serving
from tests.api.following import Follower
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

UNATTENDED = [{"permission": "question", "action": "deny", "pattern": "*"}]
"""What `opencode run` says of its sessions: nobody sits there who could be asked."""


@pytest.fixture
def served(tmp_path: Path, sqlite_template: Path, valkey: ValkeyServer) -> Api:
    apis = Apis("sqlite", tmp_path, sqlite_template)
    settings = apis.settings(redis_url=valkey.url)
    return apis.start(open_stores(settings), redis_url=valkey.url)


def made(served: Api, **fields: object) -> str:
    answer = served.post("/ephemeral/session", fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def test_every_new_session_there_is_ephemeral(served: Api) -> None:
    first = made(served)
    assert first.startswith("ses_tmp_")
    assert made(served, id="ses_tmp_mine") == "ses_tmp_mine"
    assert served.post("/ephemeral/session/ses_tmp_other/prompt_async", a_prompt()).status_code == 204
    forked = served.post(f"/ephemeral/session/{first}/fork", {}).json()["id"]
    listed = {each["id"] for each in served.get("/ephemeral/session").json()}
    assert listed == {first, forked, "ses_tmp_mine", "ses_tmp_other"}
    assert served.get("/session").json() == []


def test_no_other_is_made_or_shown_there(served: Api) -> None:
    served.post("/session", {"id": "ses_kept"})
    served.prompt("ses_kept")
    first = made(served)
    for refused in (
        served.post("/ephemeral/session", {"id": "ses_kept"}),
        served.post("/ephemeral/session", {"ephemeral": False}),
        served.post("/ephemeral/session/ses_kept/prompt_async", a_prompt()),
        served.post(f"/ephemeral/session/{first}/fork", {"id": "ses_new"}),
    ):
        assert refused.status_code == 400, refused.text
    assert served.get("/ephemeral/session").json()[0]["id"] == first
    assert served.get("/ephemeral/session/ses_kept").status_code == 404
    assert served.get("/ephemeral/session/ses_kept/message").status_code == 404
    assert served.client.delete("/ephemeral/session/ses_kept").status_code == 404
    assert served.get("/ephemeral/session/status").json() == {}
    assert list(served.get("/session/status").json()) == ["ses_kept"]
    assert served.get("/ephemeral/job").json() == []
    assert served.get("/session/ses_kept").status_code == 200


def test_a_session_can_be_kept_by_forking_it_outside(served: Api) -> None:
    first = made(served)
    assert served.post(f"/session/{first}/fork", {"id": "ses_kept"}).status_code == 200
    assert [each["id"] for each in served.get("/session").json()] == ["ses_kept"]


def test_the_session_of_a_run_goes_soon_and_others_live_as_long_as_they_do_elsewhere(
    served: Api, valkey: ValkeyServer
) -> None:
    run, attended, own = made(served, permission=UNATTENDED), made(served), made(served, permission=UNATTENDED, ttl=500)
    with redis.Redis.from_url(valkey.url) as client:

        def left(session_id: str) -> float:
            keys = list(client.scan_iter(f"*{session_id}*"))
            assert keys
            return float(max(client.pttl(key) for key in keys)) / 1000

        assert 50 < left(run) <= 60
        assert 3500 < left(attended) <= 3600
        assert 490 < left(own) <= 500


def test_all_else_is_as_it_is_without_the_prefix(served: Api) -> None:
    for path in ("/config", "/path", "/doc", "/healthz", "/agent", "/vcs"):
        assert served.get("/ephemeral" + path).json() == served.get(path).json(), path
    assert served.get("/ephemeral/nowhere").status_code == 404
    assert served.get("/ephemeralx/config").status_code == 404
    assert served.post("/ephemeral/log", {}).status_code == 501
    assert served.client.put("/ephemeral/session").headers["allow"] == "GET, POST"
    wrong = served.post("/ephemeral/session", {"nonsense": 1})
    assert wrong.json()["_tag"] == "InvalidRequestError"
    first = made(served)
    page = served.get("/ephemeral/session", params={"limit": 1})
    assert page.json()[0]["id"] == first
    made(served)
    assert "/ephemeral/session?" in served.get("/ephemeral/session", params={"limit": 1}).headers["link"]


def test_the_password_is_asked_for_there_too(memory_apis: Apis) -> None:
    served = memory_apis.start(password="secret")
    assert served.get("/ephemeral/config").status_code == 401
    assert served.get("/ephemeral/healthz").status_code == 401


@pytest.mark.parametrize("path", ["/event", "/global/event"])
def test_its_events_tell_of_ephemeral_sessions_alone(path: str) -> None:
    with serving() as server:
        inside, outside = (Follower(server.port, prefix + path).start() for prefix in ("/ephemeral", ""))
        for session in ("ses_kept", "ses_tmp_once"):
            httpx2.post(f"http://127.0.0.1:{server.port}/session", json={"id": session})
        eventually(lambda: "ses_tmp_once" in str(inside.events) and "ses_tmp_once" in str(outside.events))
        assert "ses_kept" not in str(inside.events)
        assert "ses_kept" in str(outside.events)
        inside.close()
        outside.close()
