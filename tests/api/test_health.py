"""What the API says when something behind it is away, and when nobody expected what happened."""

import logging
import sqlite3
import threading
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.main import create_app, make_app
from domain.errors import ModelUnknown, StoreIncompatible, StoreUnavailable
from domain.settings import Settings
from tests.api.conftest import Api, Apis, Bell, a_prompt
from tests.support.memory_store import MemoryStore
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually


class Broken(MemoryStore):
    """Fails whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def __getattribute__(self, name: str) -> Any:
        if name in ("admit", "session", "job", "ready", "create_session"):
            raise self.error
        return super().__getattribute__(name)


def test_a_server_that_is_well_says_so(apis: Apis, valkey: ValkeyServer) -> None:
    api = apis.start(redis_url=valkey.url)
    assert api.get("/healthz").json()["status"] == "ok"
    eventually(lambda: api.get("/readyz").json() == {"status": "ok", "degraded": []})


def test_without_a_redis_the_server_is_ready_and_says_what_is_missing(api: Api) -> None:
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "degraded": ["redis"]})


@pytest.mark.parametrize(
    "error", [StoreUnavailable("the database is locked", retry_after_s=2), StoreIncompatible("of another version")]
)
def test_while_the_database_is_away_callers_are_told_when_to_come_back(memory_apis: Apis, error: Exception) -> None:
    api = memory_apis.start(Broken(error))
    for answer in (
        api.get("/readyz"),
        api.get("/session/ses_a"),
        api.get("/job/job_1"),
        api.post("/session", {"id": "ses_a"}),
        api.post("/session/ses_a/prompt_async", a_prompt()),
        api.post("/session/ses_a/message", a_prompt()),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json() == {"name": "UnavailableError", "data": {"message": str(error)}}
    assert api.get("/healthz").status_code == 200


def test_a_database_that_does_not_answer_is_not_waited_for(memory_apis: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.health.STORE_S", 0.05)
    released = threading.Event()

    class Stuck(MemoryStore):
        def ready(self) -> None:
            released.wait(30)

    api = memory_apis.start(Stuck())
    try:
        assert api.get("/readyz").status_code == 503
        assert api.get("/healthz").status_code == 200
    finally:
        released.set()


@pytest.mark.parametrize("apis", ["sqlite"], indirect=True)
def test_a_locked_database_is_503_until_it_is_free(apis: Apis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.sql.sqlite.LOCK_WAIT_S", 0.05)
    api = apis.start()
    with sqlite3.connect(apis.directory / "promptq.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = api.post("/session/ses_a/prompt_async", a_prompt())
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        assert api.get("/session").json() == []
        other.execute("ROLLBACK")
    other.close()
    assert api.post("/session/ses_a/prompt_async", a_prompt()).status_code == 204


def test_what_nobody_expected_is_500_and_logged_without_content(
    memory_apis: Apis, caplog: pytest.LogCaptureFixture
) -> None:
    api = memory_apis.start(Broken(RuntimeError("the secret text")))
    for answer in (
        api.get("/session/ses_a"),
        api.post("/session/ses_a/prompt_async", a_prompt("the secret text")),
    ):
        assert answer.status_code == 500
        assert answer.json() == {
            "name": "UnknownError",
            "data": {"message": "the server failed; its log says where"},
        }
    records = [record for record in caplog.records if record.getMessage() == "request_failed"]
    assert len(records) == 2
    assert "secret" not in caplog.text
    assert "secret" not in str([vars(record) for record in records])
    assert vars(records[1])["route"] == "/session/{sessionID}/prompt_async"
    assert vars(records[1])["error"] == "RuntimeError"


def test_no_content_is_ever_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    secret = "the-secret-text"
    with caplog.at_level(logging.DEBUG):
        api.post("/session", {"id": "ses_a", "title": secret, "metadata": {"x": secret}})
        api.prompt("ses_a", secret, messageID="msg_1", system=secret, metadata={"x": secret})
        api.post("/session/ses_a/prompt_async", a_prompt(f"{secret}!", messageID="msg_1"))
        api.post("/session/ses_a/prompt_async", {"parts": [{"type": secret}], secret: secret})
        api.worker.run()
        api.get("/session/ses_a/message")
    ours = [record for record in caplog.records if record.name.split(".")[0] not in ("httpx", "httpx2", "asyncio")]
    assert secret not in str([(record.getMessage(), vars(record)) for record in ours])


def test_a_default_model_that_nothing_answers_for_is_refused_at_the_start() -> None:
    settings = Settings.model_validate({"model": "nobody/knows"})
    with pytest.raises(ModelUnknown):
        create_app(settings, store=MemoryStore, bell=Bell)


@pytest.mark.parametrize("apis", ["sqlite"], indirect=True)
def test_the_application_that_a_server_loads_works(
    apis: Apis, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = apis.settings().database_url
    assert url is not None
    monkeypatch.setenv("PROMPTQ_DATABASE_URL", url.get_secret_value())
    monkeypatch.setenv("PROMPTQ_REDIS_URL", valkey.url)
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        with TestClient(make_app(), base_url="http://127.0.0.1:4096") as client:
            assert client.post("/session/ses_a/prompt_async", json=a_prompt()).status_code == 204
            assert client.get("/session/status").json() == {"ses_a": {"type": "busy"}}
    finally:
        root.handlers[:], root.level = before[0], before[1]


def test_who_comes_to_the_root_is_told_where_to_read(memory_apis: Apis) -> None:
    api = memory_apis.start()
    told = api.get("/").json()
    assert told["name"] == "promptq"
    assert api.get(told["doc"]).json()["info"] == {
        "title": "promptq",
        "version": told["version"],
        "description": "A queue for prompts, with OpenCode's HTTP API.",
    }
