"""A client that goes away cancels nothing, and leaves nothing behind in the server."""

import socket
from collections.abc import Iterator

import pytest

from domain.jobs import State
from storage.base import JobQuery
from tests.api.conftest import Served, serving
from tests.storage.actors import Worker
from tests.support.waiting import eventually

PROMPT = b'{"parts":[{"type":"text","text":"hi"}],"messageID":"msg_1"}'


@pytest.fixture
def served() -> Iterator[Served]:
    with serving() as made:
        yield made


def ask(served: Served, head: str, body: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", served.port), timeout=10)
    lines = (head, "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}", "", "")
    connection.sendall("\r\n".join(lines).encode() + body)
    return connection


def waiting(served: Served) -> int:
    return len(served.app.state.means.waiters._waiting)


def test_who_hangs_up_is_not_waited_for_and_the_prompt_goes_on(served: Served) -> None:
    with ask(served, "POST /session/ses_a/message HTTP/1.1", PROMPT):
        eventually(lambda: waiting(served) == 1)
    eventually(lambda: waiting(served) == 0)
    (job,) = served.store.jobs("default", JobQuery())
    assert job.state is State.QUEUED
    with ask(served, "POST /session/ses_a/message HTTP/1.1", PROMPT) as again:
        eventually(lambda: waiting(served) == 1)
        assert Worker(served.store).run() == [job.id]
        assert b"answer to hi" in again.recv(65536)


def test_who_hangs_up_while_waiting_for_a_job_is_forgotten(served: Served) -> None:
    with ask(served, "POST /session/ses_a/prompt_async HTTP/1.1", PROMPT) as connection:
        assert b" 204 " in connection.recv(65536)
    (job,) = served.store.jobs("default", JobQuery())
    with ask(served, f"GET /job/{job.id}/wait?timeout=300 HTTP/1.1"):
        eventually(lambda: waiting(served) == 1)
    eventually(lambda: waiting(served) == 0)


def test_waits_do_not_use_up_the_threads_that_others_need(served: Served) -> None:
    waits = []
    for number in range(100):
        body = PROMPT.replace(b"msg_1", b"msg_%d" % number)
        waits.append(ask(served, f"POST /session/ses_{number}/message HTTP/1.1", body))
    eventually(lambda: waiting(served) == 100)
    with ask(served, "GET /session HTTP/1.1") as other:
        assert b" 200 " in other.recv(100)
    Worker(served.store).run()
    for wait in waits:
        assert b" 200 " in wait.recv(100)
        wait.close()


def test_who_waits_when_the_server_is_replaced_is_told_to_ask_again() -> None:
    with serving() as ending:
        wait = ask(ending, "POST /session/ses_a/message HTTP/1.1", PROMPT)
        eventually(lambda: waiting(ending) == 1)
    with wait:
        answer = b"".join(iter(lambda: wait.recv(65536), b"")).lower()
    assert answer.startswith(b"http/1.1 503 ")
    assert b"\r\nretry-after: 1\r\n" in answer
