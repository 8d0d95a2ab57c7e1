"""Cancelling, timing out, giving back: how attempts are stopped."""

import asyncio
import time
from collections.abc import AsyncIterator

from domain.jobs import Outcome, State
from executors.base import Event, Request, TextDelta
from tests.support.waiting import eventually
from tests.tasks.conftest import Workshop
from tests.tasks.scripted import END, Gate


async def stubborn(_: Request) -> AsyncIterator[Event]:
    """Ignores every cancellation for a long time."""
    yield TextDelta("never ")
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            yield TextDelta("mind ")
    yield END


def test_a_running_prompt_is_cancelled_within_about_a_second_and_keeps_its_partial_text(workshop: Workshop) -> None:
    workshop.engine()
    gate = workshop.scripts["wait"] = Gate()
    job = workshop.admit("wait")
    eventually(lambda: gate.reached)
    began = time.monotonic()
    workshop.store.cancel_job("default", job.id)
    ended = workshop.ended(job)
    assert time.monotonic() - began < 2
    assert (ended.state, ended.outcome) == (State.CANCELLED, Outcome.CANCELLED)
    assert workshop.text(ended) == "half "
    assert workshop.answer(ended).detail["error"]["name"] == "MessageAbortedError"
    assert workshop.executor.interrupted == ["wait"]


def test_the_session_goes_on_after_a_cancelled_prompt(workshop: Workshop) -> None:
    workshop.engine()
    gate = workshop.scripts["wait"] = Gate()
    first, second = workshop.admit("wait"), workshop.admit("next")
    eventually(lambda: gate.reached)
    workshop.store.cancel_job("default", first.id)
    assert workshop.ended(second).state is State.SUCCEEDED


def test_a_prompt_of_a_deleted_session_is_stopped_and_its_answer_thrown_away(workshop: Workshop) -> None:
    workshop.engine(concurrency=1)
    gate = workshop.scripts["wait"] = Gate()
    workshop.admit("wait")
    eventually(lambda: gate.reached)
    workshop.store.delete_session("default", "ses_a")
    eventually(lambda: workshop.executor.interrupted == ["wait"])
    job = workshop.ended(workshop.admit("new", "ses_a"))
    assert workshop.text(job) == "new"


def test_an_attempt_that_takes_too_long_is_timed_out_and_tried_again(workshop: Workshop) -> None:
    workshop.engine()
    workshop.scripts["wait"] = Gate()
    job = workshop.ended(workshop.admit("wait", timeout_ms=60, max_attempts=2))
    assert (job.state, job.attempt, job.charges) == (State.FAILED, 2, 2)
    assert job.failure is not None
    assert job.failure.code == "timeout"
    assert [past.outcome for past in job.past_attempts] == [Outcome.TIMED_OUT]
    assert workshop.text(job) == "half "


def test_an_executor_that_ignores_its_cancellation_loses_its_slot(workshop: Workshop) -> None:
    workshop.engine(concurrency=1, patience_s=0.2)
    workshop.scripts["stubborn"] = stubborn
    job = workshop.admit("stubborn", timeout_ms=100, max_attempts=1)
    behind = workshop.admit("next", "ses_b")
    ended = workshop.ended(job)
    assert ended.failure is not None
    assert (ended.state, ended.failure.code) == (State.FAILED, "timeout")
    assert workshop.ended(behind).state is State.SUCCEEDED


def test_a_graceful_stop_waits_for_what_runs_and_claims_nothing_more(workshop: Workshop) -> None:
    engine = workshop.engine()
    gate = workshop.scripts["wait"] = Gate()
    running = workshop.admit("wait")
    eventually(lambda: gate.reached)
    engine.close()
    waiting = workshop.admit("next", "ses_b")
    gate.open()
    eventually(engine.is_idle)
    assert workshop.job(running).state is State.SUCCEEDED
    assert workshop.job(waiting).state is State.QUEUED
    engine.stop()
    assert workshop.job(waiting).attempt == 0
    assert workshop.executor.closed


def test_what_still_runs_at_the_end_is_given_back_uncharged_and_others_are_told(workshop: Workshop) -> None:
    rings: list[float] = []
    engine = workshop.engine(options={"ring": lambda: rings.append(time.monotonic())})
    gate = workshop.scripts["wait"] = Gate()
    jobs = [workshop.admit("wait", f"ses_{n}") for n in range(3)]
    eventually(lambda: gate.reached == 3)
    began = time.monotonic()
    engine.stop()
    assert time.monotonic() - began < 2
    assert rings
    for job in jobs:
        returned = workshop.job(job)
        assert (returned.state, returned.attempt, returned.charges, returned.losses) == (State.QUEUED, 1, 0, 0)
        assert [past.outcome for past in returned.past_attempts] == [Outcome.RETURNED]
    gate.open()
    workshop.engine()
    assert [workshop.ended(job).attempt for job in jobs] == [2, 2, 2]


def test_a_prompt_that_allows_one_attempt_is_not_tried_again_when_it_is_given_back(workshop: Workshop) -> None:
    engine = workshop.engine()
    gate = workshop.scripts["wait"] = Gate()
    job = workshop.admit("wait", max_attempts=1)
    eventually(lambda: gate.reached)
    engine.stop()
    ended = workshop.job(job)
    assert ended.failure is not None
    assert (ended.state, ended.failure.code) == (State.FAILED, "worker_lost")


def test_a_stop_does_not_wait_for_an_executor_that_ignores_it(workshop: Workshop) -> None:
    engine = workshop.engine(patience_s=0.2)
    workshop.scripts["stubborn"] = stubborn
    job = workshop.admit("stubborn")
    eventually(lambda: workshop.executor.begun)
    began = time.monotonic()
    engine.stop()
    assert time.monotonic() - began < 8
    assert workshop.job(job).state is State.QUEUED
