"""Who is let in, and how much they may bring."""

import asyncio
import base64
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from api.doors import BodyLimit
from api.main import create_app
from domain.keys import make_key
from domain.settings import Settings
from storage.base import JobQuery
from tests.api.conftest import Api, Apis, Bell, a_prompt, serving
from tests.support.keys import bearer, keyed
from tests.support.memory_store import MemoryStore

MIB = 1024 * 1024


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def guarded(memory_apis: Apis) -> Api:
    return memory_apis.start(password="sésame:1")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("opencode", "wrong"),
        basic("someone", "sésame:1"),
        basic("", "sésame:1"),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic"},
        bearer("wrong"),
        {"Authorization": "Bearer"},
        {"Authorization": "Digest x"},
    ],
)
def test_without_the_password_nothing_is_answered(guarded: Api, headers: dict[str, str]) -> None:
    for path in ("/session", "/job", "/readyz", "/doc", "/nowhere"):
        answer = guarded.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic ")
        assert answer.json()["name"] == "UnauthorizedError"
    assert guarded.post("/session", {"id": "ses_a"}, headers=headers).status_code == 401


CONFIGURATION, KEYS = keyed("alice", "bob")


@pytest.fixture
def shared(memory_apis: Apis) -> Api:
    """An API with a key for each of two tenants, and a password."""
    return memory_apis.start(configuration=CONFIGURATION, password="sesame")


def test_a_key_opens_as_bearer_and_as_the_password_of_any_user(shared: Api) -> None:
    for headers in (bearer(KEYS["alice"]), basic("opencode", KEYS["alice"]), basic("", KEYS["alice"])):
        assert shared.get("/session", headers=headers).status_code == 200


def test_who_comes_with_a_key_is_its_tenant(shared: Api) -> None:
    of_alice, of_bob = (bearer(KEYS[tenant]) for tenant in ("alice", "bob"))
    shared.post("/session/ses_a/prompt_async", a_prompt(), headers=of_alice)
    assert [job.tenant for job in shared.store.jobs("alice", JobQuery())] == ["alice"]
    assert shared.get("/session/ses_a", headers=of_alice).status_code == 200
    assert shared.get("/session/ses_a", headers=of_bob).status_code == 404


def test_who_comes_with_the_password_is_the_default_tenant(shared: Api) -> None:
    shared.post("/session/ses_a/prompt_async", a_prompt(), headers=basic("opencode", "sesame"))
    assert [job.tenant for job in shared.store.jobs("default", JobQuery())] == ["default"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer(make_key("alice").text),
        bearer(KEYS["alice"][:-1]),
        bearer(next(iter(CONFIGURATION.keys.values())).sha256),
        basic(KEYS["alice"], ""),
        basic("alice", "sesame"),
    ],
)
def test_where_there_are_keys_nothing_else_opens(shared: Api, headers: dict[str, str]) -> None:
    assert shared.get("/session", headers=headers).status_code == 401


def test_two_keys_at_once_open_for_nobody(shared: Api) -> None:
    both = [("Authorization", f"Bearer {KEYS[tenant]}") for tenant in ("alice", "bob")]
    assert shared.get("/session", headers=both).status_code == 401


def test_keys_alone_close_the_door_too(memory_apis: Apis) -> None:
    configuration, keys = keyed("alice")
    api = memory_apis.start(configuration=configuration)
    assert api.get("/session").status_code == 401
    assert api.get("/session", headers=bearer("")).status_code == 401
    assert api.get("/session", headers=basic("opencode", "")).status_code == 401
    assert api.get("/session", headers=bearer(keys["alice"])).status_code == 200


def test_the_password_opens_as_basic_and_as_bearer(guarded: Api) -> None:
    assert guarded.get("/session", headers=basic("opencode", "sésame:1")).status_code == 200
    token = {"Authorization": b"Bearer " + "sésame:1".encode()}
    assert guarded.get("/session", headers=token).status_code == 200
    assert guarded.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:4096", 200),
        ("LOCALHOST:1", 200),
        ("127.0.0.1:4096", 200),
        ("[::1]:4096", 200),
        ("queue.internal", 200),
        ("Queue.Internal:80", 200),
        ("10.1.2.3:4096", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("0.0.0.0:4096", 403),
        ("", 403),
        ("[", 403),
        ("localhost:port", 403),
        ("localhost:80@evil.example", 403),
        ("localhost/", 403),
    ],
)
def test_only_hosts_that_the_server_goes_by_are_answered(memory_apis: Apis, host: str, status: int) -> None:
    api = memory_apis.start(allowed_hosts="queue.internal, other", host="10.1.2.3")
    answer = api.get("/session", headers={"Host": host})
    assert answer.status_code == status
    if status == 403:
        assert "PROMPTQ_ALLOWED_HOSTS" in answer.json()["data"]["message"]
    assert api.get("/healthz", headers={"Host": host}).status_code == 200


def test_two_hosts_are_one_too_many(memory_apis: Apis) -> None:
    answer = memory_apis.start().get("/session", headers=[("Host", "localhost"), ("Host", "localhost")])
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:4096", 204),
        ("https://evil.example", 403),
        ("http://localhost:3000", 403),
        ("http://localhost", 403),
        ("null", 403),
        ("", 403),
        ("file://", 403),
        ("http://[", 403),
    ],
)
def test_web_pages_of_other_origins_are_refused(memory_apis: Apis, origin: str, status: int) -> None:
    api = memory_apis.start()
    answer = api.post("/session/ses_a/prompt_async", a_prompt(), headers={"Origin": origin})
    assert answer.status_code == status
    assert len(api.get("/job").json()) == (status == 204)
    assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_is_refused(memory_apis: Apis) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = memory_apis.start().client.options("/session", headers=headers)
    assert answer.status_code == 403


def test_a_body_that_says_it_is_too_large_is_refused_unread(memory_apis: Apis) -> None:
    api = memory_apis.start(body_limit=1024)
    answer = api.post("/session/ses_a/prompt_async", a_prompt("x" * 1100))
    assert answer.status_code == 413
    assert answer.json() == {"name": "BodyTooLargeError", "data": {"message": "the body is larger than 1024 bytes"}}
    assert answer.headers["connection"] == "close"
    assert api.post("/session/ses_a/prompt_async", a_prompt("x" * 900)).status_code == 204


@pytest.mark.parametrize("declared", [None, b"5", b"nonsense", b"99999999999999999999999999"])
def test_a_body_of_100_mb_is_read_no_further_than_the_limit(declared: bytes | None) -> None:
    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b" " * 65536, "more_body": taken < 1600}

    async def scene() -> list[Any]:
        settings = Settings.model_validate({"redis_url": None, "body_limit": MIB})
        app = create_app(settings, store=MemoryStore, bell=Bell)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async with app.router.lifespan_context(app):
            headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
            headers += [] if declared is None else [(b"content-length", declared)]
            path = "/session/ses_a/prompt_async"
            await app(
                {
                    "type": "http",
                    "asgi": {"version": "3.0"},
                    "http_version": "1.1",
                    "method": "POST",
                    "scheme": "http",
                    "path": path,
                    "raw_path": path.encode(),
                    "query_string": b"",
                    "root_path": "",
                    "headers": headers,
                    "client": ("127.0.0.1", 1),
                    "server": ("127.0.0.1", 2),
                },
                receive,
                send,
            )
        return sent

    sent = asyncio.run(scene())
    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["name"] == "BodyTooLargeError"
    assert taken <= 17


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a real server with a limit of one MiB."""
    with serving(body_limit=MIB) as served:
        yield served.port


@pytest.mark.parametrize("framing", ["Content-Length: 104857600", "Transfer-Encoding: chunked"])
def test_a_real_server_answers_a_body_of_100_mb_before_it_has_come(port: int, framing: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        lines = ("POST /session/ses_a/message HTTP/1.1", "Host: localhost", "Content-Type: application/json", framing)
        connection.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        sent = 0
        block = b"10000\r\n" + b" " * 65536 + b"\r\n"
        try:
            while sent < 100 * MIB:
                sent += connection.send(block)
        except OSError:
            pass  # it hung up, as it should
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except OSError:
            pass
    assert sent < 32 * MIB, "the server took it all"
    assert answer == b"" or b" 413 " in answer.split(b"\r\n", 1)[0]


def test_other_protocols_pass_the_limit_by() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(BodyLimit(app, 1)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
