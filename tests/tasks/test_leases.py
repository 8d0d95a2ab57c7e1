"""Leases: kept while a prompt runs, lost with the worker, and never two at once."""

import logging
import time
from collections.abc import AsyncIterator

import pytest

from domain.jobs import Job, Outcome, State
from domain.lifecycle import SUSPECT_WINDOW_MS
from executors.base import Event, Request, TextDelta
from storage.base import Store
from tests.support.waiting import eventually
from tests.tasks.conftest import Workshop
from tests.tasks.scripted import END, Gate, Unreliable


def lose_a_worker(store: Store, *, times: int = 1) -> None:
    """Have workers claim whatever is ready and end without a word."""
    for _ in range(times):
        claimed = store.exchange("dead", (), slots=100, lease_ms=1, suspects=100).claimed
        assert claimed

        def all_lost() -> bool:
            store.reconcile(limit=100)
            return all(store.job("default", c.job.id).state is not State.RUNNING for c in claimed)  # noqa: B023

        eventually(all_lost)


def test_a_lease_is_renewed_for_as_long_as_its_prompt_runs(workshop: Workshop) -> None:
    workshop.engine(lease=1)
    gate = workshop.scripts["wait"] = Gate()
    job = workshop.admit("wait")
    eventually(lambda: gate.reached)
    first = workshop.job(job).lease_until
    assert first is not None
    eventually(lambda: (workshop.job(job).lease_until or 0) > first + 1_500)
    gate.open()
    assert workshop.ended(job).attempt == 1


def test_the_prompts_of_a_lost_worker_are_run_by_another(workshop: Workshop) -> None:
    job = workshop.admit("hi")
    claimed = workshop.store.exchange("dead", (), slots=1, lease_ms=300).claimed
    assert [c.job.id for c in claimed] == [job.id]
    workshop.engine(lease=1)
    ended = workshop.ended(job)
    assert (ended.state, ended.attempt, ended.charges, ended.losses) == (State.SUCCEEDED, 2, 0, 1)


def test_an_attempt_that_lost_its_lease_is_stopped_and_what_it_leaves_is_thrown_away(workshop: Workshop) -> None:
    async def slow_then_quick(request: Request) -> AsyncIterator[Event]:
        yield TextDelta(f"attempt {request.job.attempt}")
        if request.job.attempt == 1:
            async for event in gate(request):
                yield event
        yield END

    gate = Gate()
    workshop.scripts["slow"] = slow_then_quick
    workshop.engine()
    job = workshop.admit("slow")
    eventually(lambda: gate.reached)
    # Another worker's round of mending finds the lease run out.
    workshop.store.renew(job_worker(workshop, job), [("default", job.id, 1)], lease_ms=-1)
    eventually(lambda: workshop.store.reconcile(limit=10).lost)
    ended = workshop.ended(job)
    assert (ended.attempt, ended.losses) == (2, 1)
    assert workshop.text(ended) == "attempt 2"
    eventually(lambda: workshop.executor.interrupted == ["slow"])


def test_a_lost_attempt_is_stopped_also_where_its_worker_got_the_job_again(workshop: Workshop) -> None:
    workshop.engine()
    gate = workshop.scripts["wait"] = Gate()
    job = workshop.admit("wait")
    eventually(lambda: gate.reached)
    workshop.store.renew(job_worker(workshop, job), [("default", job.id, 1)], lease_ms=-1)
    eventually(lambda: workshop.store.reconcile(limit=10).lost)
    workshop.engines[0].look()
    eventually(lambda: gate.reached == 2)
    eventually(lambda: workshop.executor.interrupted == ["wait"])
    gate.open()
    assert workshop.ended(job).attempt == 2
    assert workshop.executor.interrupted == ["wait"]


def job_worker(workshop: Workshop, job: Job) -> str:
    worker = workshop.job(job).worker
    assert worker is not None
    return worker


def test_a_suspect_runs_alone_for_two_seconds_and_then_has_proved_itself(sqlite_workshop: Workshop) -> None:
    workshop = sqlite_workshop
    jobs = [workshop.admit("wait", f"ses_{n}") for n in range(2)]
    lose_a_worker(workshop.store, times=2)
    assert all(workshop.job(job).is_suspect for job in jobs)
    gate = workshop.scripts["wait"] = Gate()
    began = time.monotonic()
    workshop.engine()
    eventually(lambda: gate.reached == 1)
    innocent = workshop.ended(workshop.admit("innocent", "ses_innocent"))
    assert innocent.state is State.SUCCEEDED
    eventually(lambda: gate.reached == 2)
    assert time.monotonic() - began >= SUSPECT_WINDOW_MS / 1000
    first = min((workshop.job(job) for job in jobs), key=lambda job: job.attempt_started or 0)
    assert (first.renewed or 0) - (first.attempt_started or 0) >= SUSPECT_WINDOW_MS
    gate.open()
    assert [workshop.ended(job).state for job in jobs] == [State.SUCCEEDED] * 2


def test_a_suspect_that_ends_early_makes_room_for_the_next(sqlite_workshop: Workshop) -> None:
    workshop = sqlite_workshop
    jobs = [workshop.admit(f"quick {n}", f"ses_{n}") for n in range(10)]
    lose_a_worker(workshop.store, times=2)
    began = time.monotonic()
    workshop.engine()
    assert [workshop.ended(job).state for job in jobs] == [State.SUCCEEDED] * 10
    assert time.monotonic() - began < 8


def test_results_wait_while_the_store_is_away_and_are_kept_when_it_is_back(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    store = Unreliable(workshop.store)
    workshop.engine(store=store, lease=60)
    gate = workshop.scripts["wait"] = Gate()
    jobs = [workshop.admit("wait", f"ses_{n}") for n in range(3)]
    eventually(lambda: gate.reached == 3)
    with caplog.at_level(logging.INFO):
        store.away = True
        gate.open()
        eventually(lambda: "store_unavailable" in caplog.text)
        tries = store.calls["exchange"]
        eventually(lambda: store.calls["exchange"] > tries + 2)
        assert all(workshop.job(job).state is State.RUNNING for job in jobs)
        store.away = False
        for job in jobs:
            assert (workshop.ended(job).state, workshop.job(job).attempt) == (State.SUCCEEDED, 1)
        eventually(lambda: "store_answers_again" in caplog.text)
    assert sum(record.message == "store_unavailable" for record in caplog.records) == 1


def test_an_engine_waits_for_a_store_that_is_not_there_yet(workshop: Workshop) -> None:
    store = Unreliable(workshop.store)
    store.away = True
    workshop.engine(store=store)
    job = workshop.admit("hi")
    eventually(lambda: store.calls["exchange"] > 2)
    store.away = False
    assert workshop.ended(job).state is State.SUCCEEDED


def test_a_history_that_cannot_be_read_now_is_read_later(workshop: Workshop) -> None:
    async def recite(request: Request) -> AsyncIterator[Event]:
        yield TextDelta(str(len(await request.history())))
        yield END

    store = Unreliable(workshop.store)
    gate, workshop.scripts["recite"] = Gate(), recite

    async def wait_and_recite(request: Request) -> AsyncIterator[Event]:
        async for event in gate(request):
            yield event
        yield TextDelta(str(len(await request.history())))
        yield END

    workshop.scripts["later"] = wait_and_recite
    workshop.engine(store=store)
    workshop.ended(workshop.admit("before"))
    job = workshop.admit("later")
    eventually(lambda: gate.reached)
    store.away = True
    gate.open()
    eventually(lambda: store.calls["history"] > 1)
    store.away = False
    ended = workshop.ended(job)
    assert (ended.attempt, workshop.text(ended)) == (1, "half whole1")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_cannot_go_on_says_so(sqlite_workshop: Workshop) -> None:
    failed: list[bool] = []
    store = Unreliable(sqlite_workshop.store)
    engine = sqlite_workshop.engine(store=store, options={"failed": lambda: failed.append(True)})
    gate = sqlite_workshop.scripts["wait"] = Gate()
    sqlite_workshop.admit("wait")
    eventually(lambda: gate.reached)
    store.defect = ZeroDivisionError()
    eventually(lambda: failed)
    engine.close()
    eventually(engine.is_idle, what="nobody waits for what cannot be handed in any more")


def test_while_an_executor_blocks_the_event_loop_nothing_more_is_claimed(workshop: Workshop) -> None:
    async def block(_: Request) -> AsyncIterator[Event]:
        yield TextDelta("zzz")
        while not unblocked:
            time.sleep(0.01)  # noqa: ASYNC251 - that is the fault
        yield END

    unblocked: list[bool] = []
    workshop.scripts["block"] = block
    store = Unreliable(workshop.store)
    workshop.engine(store=store, patience_s=0.3, lease=30)
    blocking = workshop.admit("block")
    eventually(lambda: workshop.executor.begun)

    def is_paused() -> bool:
        before = store.calls["exchange"]
        workshop.engines[0].look()
        time.sleep(0.05)
        return store.calls["exchange"] == before

    eventually(is_paused)
    job = workshop.admit("next", "ses_b")
    assert workshop.job(job).state is State.QUEUED
    unblocked.append(True)
    assert workshop.ended(blocking).state is State.SUCCEEDED
    assert workshop.ended(job).outcome is Outcome.SUCCEEDED
