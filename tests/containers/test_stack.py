"""The Compose file's services, started by hand on this machine as the file says, and used as an operator would.

What an engine for containers adds (its networks, users and mounts, and the images of Valkey and Postgres) is not tried.
"""

import base64
import http.client
import json
import os
import signal
import time
from typing import Any

import psycopg
import pytest
import redis

from tests.containers import files
from tests.containers.stack import Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.timeout(300)]  # a loaded machine installs slowly

PROMPT = {"messageID": "msg_one", "parts": [{"type": "text", "text": "Hello there"}]}


def ask(
    port: int, path: str, body: Any = None, *, password: str | None = None, host: str | None = None
) -> tuple[int, bytes]:
    """One request, as curl would send it."""
    headers = {"Content-Type": "application/json", **({"Host": host} if host else {})}
    if password is not None:
        headers["Authorization"] = "Basic " + base64.b64encode(f"opencode:{password}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET" if body is None else "POST", path, body and json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_every_health_check_says_that_all_is_well(stack: Stack) -> None:
    checked = [name for name, service in stack.services.items() if "healthcheck" in service]
    assert len(checked) == 5
    assert [name for name in checked if not stack.is_healthy(name)] == []


def test_a_prompt_is_answered_to_who_has_the_password(stack: Stack) -> None:
    password = stack.secrets["PROMPTQ_PASSWORD"]
    status, answer = ask(stack.port, "/session/ses_container/message", PROMPT, password=password, host="api:4096")
    assert status == 200, answer
    assert "Hello there" in answer.decode()
    repeated = ask(stack.port, "/session/ses_container/message", PROMPT, password=password, host="localhost")
    assert repeated == (200, answer)


def test_nobody_else_is_answered(stack: Stack) -> None:
    for password in (None, "guessed"):
        assert ask(stack.port, "/session/ses_container/message", PROMPT, password=password)[0] == 401
    status, _ = ask(stack.port, "/session", password=stack.secrets["PROMPTQ_PASSWORD"], host="evil.example")
    assert status >= 400


def test_all_that_promptq_needs_is_reached(stack: Stack) -> None:
    status, answer = ask(stack.port, "/readyz", password=stack.secrets["PROMPTQ_PASSWORD"])
    assert (status, json.loads(answer)) == (200, {"status": "ok", "degraded": []})


def test_flower_wants_the_password_and_changes_nothing(stack: Stack) -> None:
    password = stack.secrets["PROMPTQ_PASSWORD"]
    assert ask(stack.flower_port, "/workers")[0] == 401
    status, page = ask(stack.flower_port, "/workers", password=password)
    assert (status, b"Flower" in page) == (200, True)
    worker = f"worker@{os.uname().nodename}"
    status, _ = ask(stack.flower_port, f"/api/worker/shutdown/{worker}", {}, password=password)
    assert status in {403, 405}
    assert stack.is_healthy("worker")


def test_the_database_wants_its_password(stack: Stack) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://promptq:wrong@127.0.0.1:{stack.postgres_port}/promptq")


def test_the_redis_is_as_the_file_asks(stack: Stack) -> None:
    with redis.Redis(port=stack.redis_port, decode_responses=True) as client:
        found = client.config_get("save", "appendonly", "maxmemory-policy")
    assert found == {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}


def test_migrating_again_changes_nothing(stack: Stack) -> None:
    stack.run_again("migrate")
    assert "database at revision" in stack.log("migrate").splitlines()[-1]


def test_nothing_is_written_into_the_containers(stack: Stack) -> None:
    """So their file systems can be read-only."""
    assert list(stack.working_directory.iterdir()) == []


def test_a_service_that_is_away_is_found_out_by_its_health_check(stack: Stack) -> None:
    for name in ("redis", "api", "flower"):
        stack.processes[name].send_signal(signal.SIGSTOP)
        assert not stack.is_healthy(name), name
        stack.processes[name].send_signal(signal.SIGCONT)
        eventually(lambda name=name: stack.is_healthy(name), 30, what=f"{name} is well again")  # type: ignore[misc]


def test_everything_stops_within_its_grace_period_and_forgets_nothing(stack: Stack) -> None:
    last = {**PROMPT, "messageID": "msg_last"}
    status, _ = ask(stack.port, "/session/ses_last/message", last, password=stack.secrets["PROMPTQ_PASSWORD"])
    assert status == 200
    for name in ("flower", "api", "worker", "redis"):
        began = time.monotonic()
        assert stack.stop(name) in {0, -signal.SIGTERM}, stack.log(name)
        assert time.monotonic() - began < files.seconds(stack.services[name].get("stop_grace_period", "10s"))
    with psycopg.connect(
        host="127.0.0.1",
        port=stack.postgres_port,
        user="promptq",
        dbname="promptq",
        password=stack.secrets["POSTGRES_PASSWORD"],
    ) as connection:
        states = connection.execute("SELECT state FROM job WHERE session_id = 'ses_last'").fetchall()
    assert states == [("succeeded",)]
