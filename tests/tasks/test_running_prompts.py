"""What becomes of a prompt in an engine."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from domain.jobs import Outcome, State
from domain.messages import Usage
from executors.base import Event, PermanentError, Request, TextDelta, TransientError
from tests.support.waiting import eventually
from tests.tasks.conftest import Workshop
from tests.tasks.scripted import END, Gate


def test_a_prompt_is_answered(workshop: Workshop) -> None:
    workshop.engine()
    job = workshop.ended(workshop.admit("hello there"))
    assert (job.state, job.attempt, job.charges, job.outcome) == (State.SUCCEEDED, 1, 0, Outcome.SUCCEEDED)
    assert (job.usage, job.cost) == (Usage(input=1, output=1), 0.5)
    answer = workshop.answer(job)
    assert [part["type"] for part in answer.parts] == ["step-start", "text", "step-finish"]
    assert answer.detail["finish"] == "stop"
    assert workshop.text(job) == "hello there"


def test_prompts_that_waited_before_the_engine_are_answered(workshop: Workshop) -> None:
    jobs = [workshop.admit(f"prompt {n}", f"ses_{n % 3}") for n in range(30)]
    workshop.engine(concurrency=4)
    assert all(workshop.ended(job).state is State.SUCCEEDED for job in jobs)


def test_prompts_of_one_session_run_one_after_another_in_order(workshop: Workshop) -> None:
    workshop.engine()
    gate = workshop.scripts["first"] = Gate()
    jobs = [workshop.admit(text) for text in ("first", "second", "third")]
    eventually(lambda: gate.reached == 1)
    assert workshop.executor.begun == [("first", 1)]
    gate.open()
    for job in jobs:
        workshop.ended(job)
    assert workshop.executor.begun == [("first", 1), ("second", 1), ("third", 1)]
    assert workshop.executor.most_running == 1


def test_sessions_run_in_parallel_up_to_the_slots(workshop: Workshop) -> None:
    workshop.engine(concurrency=3)
    gate = workshop.scripts["wait"] = Gate()
    jobs = [workshop.admit("wait", f"ses_{n}") for n in range(5)]
    eventually(lambda: gate.reached == 3)
    gate.open()
    for job in jobs:
        workshop.ended(job)
    assert workshop.executor.most_running == 3


def test_an_executor_is_shown_the_committed_turns_before_its_prompt(workshop: Workshop) -> None:
    async def recite(request: Request) -> AsyncIterator[Event]:
        for turn in await request.history():
            answer = turn.answer.parts[1]["text"] if turn.answer else None
            yield TextDelta(f"{turn.prompt.parts[0]['text']}={answer};")
        yield END

    async def fail(_: Request) -> AsyncIterator[Event]:
        yield TextDelta("never mind")
        raise PermanentError("no", "no")

    workshop.scripts.update(recite=recite, fail=fail)
    workshop.engine()
    for text in ("one", "fail", "two"):
        workshop.admit(text)
    assert workshop.text(workshop.ended(workshop.admit("recite"))) == "one=one;two=two;"


def test_a_transient_error_is_tried_again(workshop: Workshop) -> None:
    async def twice(request: Request) -> AsyncIterator[Event]:
        yield TextDelta("so far ")
        if request.job.attempt < 3:
            raise TransientError("overloaded", "try later", status=529, from_provider=True)
        yield END

    workshop.scripts["twice"] = twice
    workshop.engine()
    job = workshop.ended(workshop.admit("twice"))
    assert (job.state, job.attempt, job.charges) == (State.SUCCEEDED, 3, 2)
    assert [past.outcome for past in job.past_attempts] == [Outcome.TRANSIENT, Outcome.TRANSIENT]


def test_the_last_transient_error_ends_the_job_with_what_the_provider_said(workshop: Workshop) -> None:
    async def always(_: Request) -> AsyncIterator[Event]:
        yield TextDelta("half")
        raise TransientError("overloaded", "try later", status=529, from_provider=True)

    workshop.scripts["always"] = always
    workshop.engine()
    job = workshop.ended(workshop.admit("always", max_attempts=2))
    assert (job.state, job.attempt) == (State.FAILED, 2)
    assert job.failure is not None
    assert (job.failure.code, job.failure.status, job.failure.from_provider) == ("overloaded", 529, True)
    assert workshop.text(job) == "half"


def test_a_provider_that_asks_to_wait_is_waited_for(workshop: Workshop) -> None:
    async def busy(_: Request) -> AsyncIterator[Event]:
        raise TransientError("rate_limited", "slow down", retry_after_s=60)
        yield END

    workshop.scripts["busy"] = busy
    workshop.engine()
    job = workshop.admit("busy")
    eventually(lambda: workshop.job(job).past_attempts)
    waiting = workshop.job(job)
    assert waiting.state is State.QUEUED
    assert waiting.ready_at is not None
    assert waiting.ready_at - waiting.past_attempts[0].ended >= 60_000


def test_a_permanent_error_ends_the_job_at_once(workshop: Workshop) -> None:
    async def refuse(_: Request) -> AsyncIterator[Event]:
        raise PermanentError("content_filter", "no")
        yield END

    workshop.scripts["refuse"] = refuse
    workshop.engine()
    job = workshop.ended(workshop.admit("refuse"))
    assert (job.state, job.attempt) == (State.FAILED, 1)
    assert job.failure is not None
    assert job.failure.code == "content_filter"


def test_a_model_that_nobody_answers_for_ends_the_job(workshop: Workshop) -> None:
    workshop.engine()
    job = workshop.ended(workshop.admit("hi", model="nobody/nothing"))
    assert (job.state, job.attempt) == (State.FAILED, 1)
    assert job.failure is not None
    assert job.failure.code == "model_unknown"


@pytest.mark.parametrize("error", [ZeroDivisionError("secret words"), SystemExit(3), asyncio.CancelledError()])
def test_an_executor_that_breaks_breaks_nothing_else(
    workshop: Workshop, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: Request) -> AsyncIterator[Event]:
        yield TextDelta("oh")
        raise error

    workshop.scripts["broken"] = broken
    workshop.engine()
    job = workshop.ended(workshop.admit("broken", max_attempts=2))
    assert (job.state, job.attempt) == (State.FAILED, 2)
    assert job.failure is not None
    assert job.failure.code in {"internal_error", "interrupted"}
    assert workshop.ended(workshop.admit("fine")).state is State.SUCCEEDED
    assert "secret" not in caplog.text


def test_an_answer_without_an_end_is_never_taken_for_a_whole_one(workshop: Workshop) -> None:
    async def truncated(_: Request) -> AsyncIterator[Event]:
        yield TextDelta("half an ans")

    workshop.scripts["truncated"] = truncated
    workshop.engine()
    job = workshop.ended(workshop.admit("truncated", max_attempts=1))
    assert job.state is State.FAILED
    assert job.failure is not None
    assert job.failure.code == "answer_incomplete"


def test_an_end_that_the_database_cannot_keep_fails_its_job_alone(sqlite_workshop: Workshop) -> None:
    async def unspeakable(_: Request) -> AsyncIterator[Event]:
        yield TextDelta("\ud800")
        yield END

    workshop = sqlite_workshop
    workshop.scripts["unspeakable"] = unspeakable
    jobs = [workshop.admit(text, f"ses_{text}") for text in ("fine", "unspeakable", "good")]
    workshop.engine()
    fine, unspoken, good = (workshop.ended(job) for job in jobs)
    assert (fine.state, good.state) == (State.SUCCEEDED, State.SUCCEEDED)
    assert (unspoken.state, unspoken.attempt) == (State.FAILED, 1)
    assert unspoken.failure is not None
    assert unspoken.failure.code == "result_refused"
