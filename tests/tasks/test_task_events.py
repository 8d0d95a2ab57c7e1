"""Which events a commit makes, and that a real receiver gets them."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from celery.events import EventReceiver
from celery.events.state import State as ClusterState

from domain.jobs import Failure, Job, Outcome, PastAttempt, State
from domain.settings import Settings
from tasks.app import PromptqApp, make_celery
from tasks.engine.outlets import Commit
from tasks.flower import TaskEvents, events_of
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

SECRET = "the text of a prompt"


def a_job(**fields: Any) -> Job:
    job = Job("default", "job_1", "ses_1", 1, 1, "msg_1", "echo/echo", "build", 1, attempt=1)
    return job.evolve(**fields)


def types(commit: Commit) -> list[tuple[str, str]]:
    return [(event["type"], event["uuid"]) for event in events_of(commit)]


def test_a_claim_is_a_task_received_and_started_with_its_names_and_nothing_else() -> None:
    received, started = events_of(Commit(claimed=[a_job(attempt=2)]))
    assert (received["type"], received["uuid"], received["name"]) == ("task-received", "job_1.2", "promptq.prompt")
    assert received["kwargs"] == "{'job': 'job_1', 'session': 'ses_1', 'attempt': 2, 'model': 'echo/echo'}"
    assert (started["type"], started["uuid"]) == ("task-started", "job_1.2")


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (a_job(state=State.SUCCEEDED), "task-succeeded"),
        (a_job(state=State.FAILED, failure=Failure("overloaded", SECRET)), "task-failed"),
        (a_job(state=State.CANCELLED, failure=Failure("cancelled", SECRET)), "task-revoked"),
        (
            a_job(state=State.QUEUED, past_attempts=(PastAttempt(1, "w", 1, 2, Outcome.TRANSIENT),)),
            "task-retried",
        ),
    ],
)
def test_an_attempts_end_is_a_tasks_end_without_content(job: Job, expected: str) -> None:
    (event,) = events_of(Commit(taken=[(job, 1, 0.25)]))
    assert (event["type"], event["uuid"]) == (expected, "job_1.1")
    assert SECRET not in json.dumps(event)


def test_a_failure_is_shown_by_its_code() -> None:
    (event,) = events_of(Commit(taken=[(a_job(state=State.FAILED, failure=Failure("overloaded", SECRET)), 1, 0.25)]))
    assert (event["exception"], event["runtime"]) == ("Failed('overloaded')", 0.25)


def test_a_lost_worker_fails_the_attempt_that_it_ran() -> None:
    before = a_job(state=State.RUNNING, attempt=3)
    (event,) = events_of(Commit(lost=[(before, before.evolve(state=State.QUEUED))]))
    assert (event["type"], event["uuid"], event["exception"]) == ("task-failed", "job_1.3", "Failed('worker_lost')")


def test_a_prompt_that_ended_without_an_attempt_is_shown_as_revoked() -> None:
    assert types(Commit(ended=[a_job(attempt=0, state=State.EXPIRED)])) == [
        ("task-received", "job_1.0"),
        ("task-revoked", "job_1.0"),
    ]


def test_a_job_whose_attempt_was_repeated_and_then_cancelled_ends_that_task() -> None:
    assert types(Commit(ended=[a_job(attempt=2, state=State.CANCELLED)])) == [("task-revoked", "job_1.2")]


Receiver = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def app(valkey: ValkeyServer) -> PromptqApp:
    return make_celery(Settings.model_validate({"redis_url": valkey.url}))


@pytest.fixture
def received(app: PromptqApp) -> Iterator[Receiver]:
    """What a real receiver has got so far."""
    events: list[dict[str, Any]] = []
    ending = threading.Event()
    ready = threading.Event()

    def receive() -> None:
        with app.connection_for_read() as connection:
            receiver = EventReceiver(connection, handlers={"*": events.append}, app=app)
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
    yield lambda: events
    ending.set()
    thread.join(10)


def test_a_real_receiver_gets_what_a_worker_sends(app: PromptqApp, received: Receiver) -> None:
    sender = TaskEvents(app, "celery@test")
    done = a_job(state=State.SUCCEEDED)

    sender.tell([Commit(claimed=[a_job()]), Commit(taken=[(done, 1, 0.25)])])
    eventually(lambda: len(received()) == 3)
    state = ClusterState()
    for event in received():
        state.event(event)
    task = state.tasks["job_1.1"]
    assert (task.name, task.state, task.runtime, task.worker.hostname) == (
        "promptq.prompt",
        "SUCCESS",
        0.25,
        "celery@test",
    )
    assert task.started is not None
    sender.close()


def test_many_events_go_out_in_a_few_messages_and_all_arrive(app: PromptqApp, received: Receiver) -> None:
    sender = TaskEvents(app, "celery@test")
    sender.tell([Commit(claimed=[a_job(id="job_0")])])
    jobs = [a_job(id=f"job_{n}") for n in range(1, 1_501)]
    sender.tell([Commit(claimed=jobs)])
    eventually(lambda: len({event["uuid"] for event in received()}) == 1_501)
    sender.close()


def test_a_broker_that_is_away_costs_events_and_nothing_else(app: PromptqApp, valkey: ValkeyServer) -> None:
    sender = TaskEvents(app, "celery@test")
    sender.tell([Commit(claimed=[a_job()])])
    valkey.kill()
    sender.tell([Commit(claimed=[a_job()])])
    sender.tell([Commit(claimed=[a_job()])])
    sender.close()
