"""The Celery task `promptq.admit`, sent by a program that knows nothing of promptq, to a real worker."""

import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from celery.events import EventReceiver

from domain.jobs import Job, State
from storage.base import JobQuery
from tests.containers.files import ROOT
from tests.support.commands import Command, clean_environment
from tests.support.keepers import migrated
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.workers import Fleet

pytestmark = pytest.mark.xdist_group("operations")

SECRET = "zanzibar-quagga"
PREFIX = "promptq:"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrated(f"sqlite:///{path}")
    return path


@pytest.fixture
def fleet(valkey: ValkeyServer, template: Path, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet.make(template, tmp_path, valkey.url)
    yield made
    made.close()


@pytest.fixture
def caller(valkey: ValkeyServer) -> Celery:
    """A Celery app as anybody writes one."""
    app = Celery("caller", broker=valkey.broker_url, set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": PREFIX}
    return app


def send(
    caller: Celery, session_id: str = "ses_a", text: str = SECRET, *, task_id: str | None = None, **more: Any
) -> str:
    """Send a prompt; `tenant` and the like go beside it, what else there is into the body."""
    beside = {name: more.pop(name) for name in ("tenant", "idempotency_key", "nonsense") if name in more}
    body = {"parts": [{"type": "text", "text": text}], **more}
    with caller.connection_for_write() as connection:
        return str(
            caller.send_task(
                "promptq.admit", [session_id, body], beside, queue="promptq", task_id=task_id, connection=connection
            ).id
        )


def jobs(fleet: Fleet, tenant: str = "default") -> list[Job]:
    return fleet.store.jobs(tenant, JobQuery())


def ended(fleet: Fleet, count: int, tenant: str = "default") -> list[Job]:
    """Wait for so many jobs to succeed, and return all."""
    eventually(lambda: [job.state for job in jobs(fleet, tenant)].count(State.SUCCEEDED) == count, 30)
    return jobs(fleet, tenant)


@pytest.fixture
def events(caller: Celery) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """What a real receiver has got so far of one task."""
    received: list[dict[str, Any]] = []
    ending, ready = threading.Event(), threading.Event()

    def receive() -> None:
        with caller.connection_for_read() as connection:
            receiver = EventReceiver(connection, handlers={"*": received.append}, app=caller)
            with receiver.consumer_context() as (consuming, _, _):
                with suppress(TimeoutError):
                    consuming.drain_events(timeout=0.01)  # subscribes
                ready.set()
                while not ending.is_set():
                    with suppress(TimeoutError):
                        consuming.drain_events(timeout=0.2)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    assert ready.wait(10)
    yield lambda task_id: [event for event in list(received) if event.get("uuid") == task_id]
    ending.set()
    thread.join(10)


Events = Callable[[str], list[dict[str, Any]]]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in found]


def test_a_prompt_that_is_sent_as_a_task_is_answered_and_its_words_are_shown_nowhere(
    fleet: Fleet, caller: Celery, events: Events
) -> None:
    worker = fleet.worker()
    worker.says("ready.")
    task = send(caller, messageID="msg_1")
    (job,) = ended(fleet, 1)
    assert (job.session_id, job.message_id, job.tenant) == ("ses_a", "msg_1", "default")
    eventually(lambda: kinds(events(task))[-1:] == ["task-succeeded"])
    assert [event["result"] for event in events(task) if "result" in event] == [repr(job.id)]
    eventually(lambda: kinds(events(f"{job.id}.1"))[-1:] == ["task-succeeded"])
    shown = events(task) + events(f"{job.id}.1")
    assert SECRET not in json.dumps(shown) + worker.output
    (answer,) = [message for message in fleet.store.messages("default", "ses_a") if message.role == "assistant"]
    assert SECRET in str(answer.parts)


def test_the_same_name_is_the_same_job_and_a_message_that_comes_twice_is_known(fleet: Fleet, caller: Celery) -> None:
    for _ in range(2):
        send(caller, "ses_a", messageID="msg_1")
        send(caller, "ses_b", idempotency_key="key")
        send(caller, "ses_c", task_id="task-1")
        send(caller, "ses_d")
    fleet.worker().says("ready.")
    found = ended(fleet, 5)
    assert sorted(job.session_id for job in found) == ["ses_a", "ses_b", "ses_c", "ses_d", "ses_d"]


def _has_failed(events: Events, task: str) -> bool:
    return kinds(events(task))[-1:] == ["task-failed"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messageID": "no"}, "messageID: must be 'msg_'"),
    ({"unknown": SECRET}, "unknown: unknown field"),
    ({"session_id": "nonsense"}, "session_id: must"),
    ({"session_id": "ses_tmp_a"}, "session_id: an ephemeral session's prompts must not be in a broker's messages"),
    ({"tenant": "a b"}, "tenant: "),
    ({"nonsense": SECRET}, "nonsense: unknown field"),
    ({"model": {"providerID": "nobody", "modelID": "x"}}, "unknown model 'nobody/x'"),
    ({"ifMissing": "fail"}, "SessionNotFound('Session not found: ses_a')"),
    ({"notBefore": SECRET}, "notBefore: must be a valid integer"),
]


def test_what_is_wrong_fails_the_task_and_says_where_without_repeating_it(
    fleet: Fleet, caller: Celery, events: Events
) -> None:
    worker = fleet.worker()
    worker.says("ready.")
    sent = [(send(caller, **more), said) for more, said in WRONG]
    for task, said in sent:
        eventually(partial(_has_failed, events, task))
        (failed,) = [event for event in events(task) if event["type"] == "task-failed"]
        assert said in failed["exception"]
        assert SECRET not in json.dumps(events(task))
    assert SECRET not in worker.output
    assert jobs(fleet) == []


def test_other_content_under_a_known_name_fails_and_changes_nothing(
    fleet: Fleet, caller: Celery, events: Events
) -> None:
    fleet.worker().says("ready.")
    send(caller, messageID="msg_1")
    ended(fleet, 1)
    task = send(caller, text="something else", messageID="msg_1")
    eventually(lambda: kinds(events(task))[-1:] == ["task-failed"])
    assert len(jobs(fleet)) == 1


def test_the_sender_names_the_tenant(fleet: Fleet, caller: Celery) -> None:
    send(caller, tenant="alice")
    fleet.worker().says("ready.")
    (job,) = ended(fleet, 1, "alice")
    assert (job.tenant, jobs(fleet)) == ("alice", [])


def test_while_the_database_is_away_messages_stay_in_the_queue(fleet: Fleet, caller: Celery, events: Events) -> None:
    worker = fleet.worker()
    worker.says("ready.")
    path = str(fleet.settings.sql_url).removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = send(caller)
        worker.says("admission_put_off", timeout=60)
        eventually(lambda: "task-rejected" in kinds(events(task)))
        other.execute("ROLLBACK")
    assert len(ended(fleet, 1)) == 1


def test_a_full_backlog_keeps_messages_in_the_queue_until_there_is_room(fleet: Fleet, caller: Celery) -> None:
    blocking = fleet.admit("blocks", "ses_blocks", not_before=4_102_444_800_000)
    worker = fleet.worker(backlog=1)
    worker.says("ready.")
    send(caller)
    worker.says("admission_put_off")
    assert len(jobs(fleet)) == 1
    fleet.store.cancel_job("default", blocking.id)
    assert len(ended(fleet, 1)) == 2


@pytest.mark.parametrize("point", ["store.before_commit.admit", "store.after_commit.admit"])
def test_a_message_whose_worker_is_killed_comes_again_and_makes_one_job(
    fleet: Fleet, caller: Celery, valkey: ValkeyServer, point: str
) -> None:
    doomed = fleet.worker(name="doomed", failpoints=f"{point}=kill")
    doomed.says("ready.")
    send(caller)
    assert doomed.ends(30) == -9
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        index = f"{PREFIX}unacked_index"
        (tag,) = client.zrange(index, 0, -1)
        client.zadd(index, {tag: 1})  # as if the visibility time-out had passed
        fleet.worker(name="next").says("ready.")
        assert len(ended(fleet, 1)) == 1
        eventually(lambda: client.zcard(index) == 0)
    assert len(jobs(fleet)) == 1


def test_a_worker_outlives_a_redis_that_restarts_while_it_admits(
    fleet: Fleet, caller: Celery, valkey: ValkeyServer
) -> None:
    worker = fleet.worker()
    worker.says("ready.")
    path = str(fleet.settings.sql_url).removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        send(caller, "ses_first")
        worker.says("received")
        valkey.kill()
        worker.says("Connection to broker lost")
        other.execute("ROLLBACK")
    eventually(lambda: [job.session_id for job in jobs(fleet)] == ["ses_first"], 30)
    valkey.start()
    send(caller, "ses_second")
    ended(fleet, 2)
    assert worker.process.poll() is None


def test_the_example_hands_in_a_prompt_and_again_the_same(fleet: Fleet, valkey: ValkeyServer) -> None:
    fleet.worker().says("ready.")
    for run in range(2):
        command = Command(
            *(str(ROOT / "examples/celery_task.py"), "ses_a", "msg_1", "Hello there"),
            output=fleet.directory / f"example-{run}",
            environment=clean_environment(REDIS_URL=valkey.broker_url),
        )
        with command:
            assert command.ends() == 0, command.output
    assert len(ended(fleet, 1)) == 1


def test_the_pages_code_hands_in_a_prompt(fleet: Fleet, caller: Celery, valkey: ValkeyServer) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/celery.md").read_text(), re.MULTILINE | re.DOTALL)
    assert "redis://127.0.0.1:6379" in code
    script = code.replace("redis://127.0.0.1:6379", valkey.broker_url)
    with Command("-c", script, output=fleet.directory / "page") as command:
        assert command.ends() == 0, command.output
    fleet.worker().says("ready.")
    (job,) = ended(fleet, 1)
    assert (job.session_id, job.message_id) == ("ses_orders", "msg_order_4711")
