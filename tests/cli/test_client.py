"""The HTTP client: what it repeats, under which name, for how long, and what it says when it gives up."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest

from cli import client as clients
from cli.client import Client
from cli.exits import CommandError, ExitCode, Invalid, Missing, PasswordRefused, Refused, ServerUnreachable, Unexpected
from cli.server_address import ServerAddress
from tests.support.scripted_server import BREAK_OFF, Reply, ScriptedServer, paths

KEPT = Reply(204, headers={"Location": "/job/job_1", "Promptq-Session": "created"})
BUSY = Reply(503, {"name": "UnavailableError", "data": {"message": "the database is locked"}}, {"Retry-After": "0"})
BODY = {"messageID": "msg_1", "parts": [{"type": "text", "text": "hello"}]}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "PATIENCE_S", 1.0)
    monkeypatch.setattr(clients, "_FIRST_PAUSE_S", 0.01)


def client_of(url: str, password: str | None = None, notice: Callable[[str], None] = lambda _: None) -> Client:
    return Client(ServerAddress(url, "a test", password), notice=notice)


def test_a_prompt_is_kept_when_the_server_says_so() -> None:
    with ScriptedServer(KEPT) as server, client_of(server.url) as client:
        accepted = client.prompt("ses_a", BODY)
    assert (accepted.job_id, accepted.session) == ("job_1", "created")
    assert paths(server.asked) == ["POST /session/ses_a/prompt_async"]


def test_a_prompt_is_repeated_under_the_same_name_after_a_broken_connection_and_a_503() -> None:
    notices: list[str] = []
    with (
        ScriptedServer(BREAK_OFF, BUSY, KEPT) as server,
        client_of(server.url, notice=notices.append) as client,
    ):
        accepted = client.prompt("ses_a", BODY, idempotency_key="k")
    assert accepted.job_id == "job_1"
    assert [asked.body for asked in server.asked] == [BODY] * 3
    assert [asked.headers["idempotency-key"] for asked in server.asked] == ["k"] * 3
    assert len(notices) == 1, "the person is told once"
    assert "trying again" in notices[0]


def test_a_prompt_waits_for_a_server_that_is_being_restarted(free_port: Callable[[], int]) -> None:
    with ScriptedServer(KEPT) as late:
        port_of_nobody = free_port()
        client = client_of(f"http://127.0.0.1:{port_of_nobody}", notice=lambda _: redirect(client, late.url))
        with client:
            assert client.prompt("ses_a", BODY).job_id == "job_1"


def redirect(client: Client, url: str) -> None:
    """Let the server come back, as far as the client can see."""
    client._http.base_url = url


def test_who_never_gets_an_answer_is_told_how_to_start_a_server(free_port: Callable[[], int]) -> None:
    port = free_port()
    with client_of(f"http://127.0.0.1:{port}") as client, pytest.raises(ServerUnreachable) as caught:
        client.jobs(limit=1)
    assert f"http://127.0.0.1:{port}" in str(caught.value)
    assert "'promptq up'" in str(caught.value)


def test_who_gets_only_503_is_told_why() -> None:
    with ScriptedServer(BUSY) as server, client_of(server.url) as client, pytest.raises(Refused) as caught:
        client.prompt("ses_a", BODY)
    assert str(caught.value) == "the database is locked"
    assert len(server.asked) > 2


def test_what_is_only_looked_at_is_not_asked_for_again() -> None:
    with ScriptedServer(BREAK_OFF) as server, client_of(server.url) as client, pytest.raises(ServerUnreachable):
        client.job("job_1")
    assert len(server.asked) == 1


def test_a_session_that_a_lost_answer_was_about_counts_as_deleted() -> None:
    gone = Reply(404, {"name": "NotFoundError", "data": {"message": "Session not found: ses_a"}})
    with ScriptedServer(BREAK_OFF, gone) as server, client_of(server.url) as client:
        client.delete_session("ses_a")
    with ScriptedServer(gone) as server, client_of(server.url) as client, pytest.raises(Missing):
        client.delete_session("ses_a")


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        (Reply(400, {"_tag": "InvalidRequestError", "message": "parts: missing"}), Invalid, "parts: missing"),
        (Reply(409, {"name": "ConflictError", "data": {"message": "other content"}}), Refused, "other content"),
        (Reply(404, {"name": "NotFoundError", "data": {"message": "Job not found"}}), Missing, "Job not found"),
        (Reply(401, {"name": "UnauthorizedError", "data": {"message": "?"}}), PasswordRefused, "PROMPTQ_PASSWORD"),
        (Reply(429, {"error": {"message": "the backlog is full"}}), Refused, "the backlog is full"),
        (Reply(404, b"<h1>nginx</h1>"), Unexpected, "another program's address"),
        (Reply(200, b"<h1>nginx</h1>"), Unexpected, "another program's address"),
        (Reply(200, [1]), Unexpected, "instead of an object"),
    ],
)
def test_a_refusal_becomes_one_sentence(reply: Reply, error: type[CommandError], says: str) -> None:
    with ScriptedServer(reply) as server, client_of(server.url) as client, pytest.raises(error) as caught:
        client.job("job_1")
    assert type(caught.value) is error
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == (ExitCode.USAGE if error is Invalid else ExitCode.FAILED)


def test_the_password_goes_as_opencodes_clients_send_it_and_is_not_shown() -> None:
    with ScriptedServer(Reply(200, {})) as server, client_of(server.url, "s€cret") as client:
        client.job("job_1")
        assert "cret" not in repr(client.server)
    scheme, _, credentials = server.asked[0].headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", "opencode:s€cret")


def test_a_key_goes_as_bearer_beats_the_password_and_is_not_shown() -> None:
    address = ServerAddress("", "a test", "s€cret", "promptq_x_sesame")
    with ScriptedServer(Reply(200, {})) as server, Client(replace(address, url=server.url)) as client:
        client.job("job_1")
        assert "sesame" not in repr(client.server)
    assert server.asked[0].headers["authorization"] == "Bearer promptq_x_sesame"


def test_a_wrong_key_is_told_apart_from_none() -> None:
    address = ServerAddress("", "a test", None, "promptq_x_sesame")
    with ScriptedServer(Reply(401, {})) as server, Client(replace(address, url=server.url)) as client:
        with pytest.raises(PasswordRefused, match="does not take the key in PROMPTQ_KEY") as caught:
            client.job("job_1")
        assert "sesame" not in str(caught.value)


def test_a_wrong_password_is_told_apart_from_none() -> None:
    wrong = pytest.raises(PasswordRefused, match="does not take the password")
    with ScriptedServer(Reply(401, {})) as server, client_of(server.url, "x") as client, wrong:
        client.job("job_1")


def test_a_list_is_read_page_by_page() -> None:
    script = Reply(200, [{"id": 1}, {"id": 2}], {"X-Next-Cursor": "abc"}), Reply(200, [{"id": 3}, {"id": 4}])
    with ScriptedServer(*script) as server, client_of(server.url) as client:
        assert [job["id"] for job in client.jobs(limit=3)] == [1, 2, 3]
    assert paths(server.asked) == ["GET /job?limit=3", "GET /job?limit=1&cursor=abc"]


def test_ids_cannot_leave_their_place_in_the_path() -> None:
    with ScriptedServer(Reply(200, {})) as server, client_of(server.url) as client:
        client.job("../session?x#y")
    assert server.asked[0].path == "/job/..%2Fsession%3Fx%23y"


def test_a_server_on_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(Reply(200, {})) as server:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        with client_of(server.url) as client:
            assert client.job("job_1") == {}
