"""Ephemeral sessions over HTTP: the same calls, by names that start `ses_tmp_`."""

from pathlib import Path

import fakeredis
import pytest

from storage.ephemeral.store import EphemeralStore
from storage.routing import RoutingStore
from tests.api.conftest import Api, Apis, a_prompt
from tests.support.memory_store import MemoryStore

WEEK_MS = 7 * 86_400_000


@pytest.fixture
def api(memory_apis: Apis, tmp_path: Path) -> Api:
    del tmp_path
    return memory_apis.start(RoutingStore(MemoryStore(), EphemeralStore(fakeredis.FakeRedis())))


def test_the_name_and_the_kind_must_agree(api: Api) -> None:
    for body, field in (
        ({"id": "ses_a", "ephemeral": True}, "id"),
        ({"id": "ses_tmp_a", "ephemeral": False}, "id"),
        ({"id": "ses_a", "ttl": 60}, "ttl"),
        ({"ttl": 60}, "ttl"),
        ({"id": "ses_tmp_a", "ttl": 0}, "ttl"),
        ({"id": "ses_tmp_a", "ttl": 604_801}, "ttl"),
    ):
        answer = api.post("/session", body)
        assert (answer.status_code, answer.json()["field"]) == (400, field), body
    assert api.post("/session/ses_a/prompt_async", a_prompt(ttl=60)).json()["field"] == "ttl"


def test_a_session_without_an_id_is_ephemeral_if_asked_for(api: Api) -> None:
    made = api.post("/session", {"ephemeral": True}).json()
    assert made["id"].startswith("ses_tmp_")
    assert api.get(f"/session/{made['id']}").json() == made


def test_only_those_who_ask_are_shown_ephemeral_sessions(api: Api) -> None:
    api.post("/session", {"id": "ses_tmp_a"})
    api.post("/session", {"id": "ses_a"})
    assert [each["id"] for each in api.get("/session").json()] == ["ses_a"]
    assert [each["id"] for each in api.get("/session?ephemeral=true").json()] == ["ses_tmp_a"]


def test_a_prompt_makes_an_ephemeral_session_and_the_next_resumes_it(api: Api) -> None:
    first = api.post("/session/ses_tmp_a/prompt_async", a_prompt("one", ttl=600))
    second = api.post("/session/ses_tmp_a/prompt_async", a_prompt("two"))
    assert [each.headers["promptq-session"] for each in (first, second)] == ["created", "resumed"]
    api.worker.run()
    job = api.get(first.headers["location"]).json()
    assert (job["id"][:8], job["state"]) == ("job_tmp_", "succeeded")
    assert [each["info"]["role"] for each in api.get("/session/ses_tmp_a/message").json()] == ["user", "assistant"] * 2
    assert api.get("/job").json() == []
    assert len(api.get("/job?ephemeral=true").json()) == 2


def test_continue_only_refuses_a_session_that_is_gone(api: Api) -> None:
    answer = api.post("/session/ses_tmp_gone/prompt_async", a_prompt(ifMissing="fail"))
    assert (answer.status_code, answer.json()["name"]) == (404, "NotFoundError")


def test_the_same_ttl_is_the_same_session_and_another_is_a_conflict(api: Api) -> None:
    api.post("/session", {"id": "ses_tmp_a", "ttl": 60})
    assert api.post("/session", {"id": "ses_tmp_a", "ttl": 60}).headers["promptq-session"] == "resumed"
    answer = api.post("/session", {"id": "ses_tmp_a", "ttl": 61})
    assert (answer.status_code, answer.json()["data"]["fields"]) == (409, ["ttl"])


def test_a_prompt_cannot_wait_for_longer_than_its_session_is_kept(api: Api) -> None:
    now = api.store.session("default", api.post("/session", {"id": "ses_tmp_a"}).json()["id"]).created
    later = now + WEEK_MS + 60_000
    answer = api.post("/session/ses_tmp_b/prompt_async", a_prompt(notBefore=later))
    assert (answer.status_code, answer.json()["field"]) == (400, "notBefore")
    assert api.get("/session/ses_tmp_b").status_code == 404
    assert api.post("/session/ses_b/prompt_async", a_prompt(notBefore=later)).status_code == 204


def test_an_ephemeral_session_is_kept_by_a_fork_to_a_durable_id(api: Api) -> None:
    api.post("/session/ses_tmp_a/prompt_async", a_prompt("keep this"))
    api.worker.run()
    assert api.post("/session/ses_tmp_a/fork", {"id": "ses_kept"}).json()["id"] == "ses_kept"
    assert api.post("/session/ses_tmp_a/fork", {}).json()["id"].startswith("ses_tmp_")
    assert api.client.delete("/session/ses_tmp_a").status_code == 200
    kept = api.get("/session/ses_kept/message").json()
    assert [each["info"]["role"] for each in kept] == ["user", "assistant"]
    assert kept[0]["parts"][0]["text"] == "keep this"


def test_a_deleted_ephemeral_session_leaves_no_job(api: Api) -> None:
    location = api.post("/session/ses_tmp_a/prompt_async", a_prompt()).headers["location"]
    api.client.delete("/session/ses_tmp_a")
    assert api.get(location).status_code == 404


def test_without_a_redis_ephemeral_names_are_refused(memory_apis: Apis) -> None:
    api = memory_apis.start(RoutingStore(MemoryStore(), None))
    answer = api.post("/session", {"id": "ses_tmp_a"})
    assert (answer.status_code, answer.json()["field"]) == (400, "sessionID")
