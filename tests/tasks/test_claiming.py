"""When an engine asks the store for work, and whom it tells."""

import time
from collections.abc import Sequence
from typing import Any

from domain.jobs import Finished, State
from storage.base import Exchange, Store
from tasks.engine.exchanging import LOOK_S
from tests.storage.actors import admit_job
from tests.support.waiting import eventually
from tests.tasks.conftest import Workshop
from tests.tasks.scripted import MODEL, Gate, Unreliable


class Reluctant:
    """A store whose ephemeral half is away at first: ends are not taken until somebody lets them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.refusals = 0
        self.takes = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def exchange(self, worker: str, finished: Sequence[Finished], **options: Any) -> Exchange:
        if self.takes or not finished:
            return self._store.exchange(worker, finished, **options)
        self.refusals += 1
        return self._store.exchange(worker, (), **options).evolve(untaken=tuple(finished))


def test_an_end_that_the_store_did_not_answer_for_is_handed_in_again(workshop: Workshop) -> None:
    reluctant = Reluctant(workshop.store)
    workshop.engine(store=reluctant)
    job = workshop.admit("hello")
    eventually(lambda: reluctant.refusals >= 2)
    assert workshop.job(job).state is State.RUNNING
    reluctant.takes = True
    assert workshop.ended(job).state is State.SUCCEEDED


def admit_silently(workshop: Workshop, text: str = "hi", session_id: str = "ses_a") -> float:
    """Post a prompt that no engine is told of; return how long it took to end, in seconds."""
    began = time.monotonic()
    workshop.ended(admit_job(workshop.store, session_id, text, model=MODEL))
    return time.monotonic() - began


def settle(workshop: Workshop) -> None:
    """Have the engine look, find nothing, and go to sleep."""
    workshop.ended(workshop.admit("first"))


def test_an_engine_that_hears_no_bell_looks_by_itself(workshop: Workshop) -> None:
    workshop.engine()
    settle(workshop)
    assert admit_silently(workshop) < LOOK_S[1] + 0.5


def test_an_engine_that_hears_a_bell_looks_at_once(workshop: Workshop) -> None:
    engine = workshop.engine()
    settle(workshop)
    took = []
    for n in range(5):
        job = admit_job(workshop.store, "ses_a", f"prompt {n}", model=MODEL)
        began = time.monotonic()
        engine.look()
        workshop.ended(job)
        took.append(time.monotonic() - began)
    assert sorted(took)[2] < 0.25


def test_the_next_prompt_of_a_session_follows_without_a_bell(workshop: Workshop) -> None:
    workshop.engine()
    gate = workshop.scripts["wait"] = Gate()
    workshop.admit("wait")
    eventually(lambda: gate.reached)
    jobs = [admit_job(workshop.store, "ses_a", f"prompt {n}", model=MODEL) for n in range(10)]
    began = time.monotonic()
    gate.open()
    workshop.ended(jobs[-1])
    assert time.monotonic() - began < 1


def test_a_prompt_that_waits_for_a_time_starts_at_that_time(workshop: Workshop) -> None:
    workshop.engine()
    now = workshop.store.exchange("nobody", (), slots=0, lease_ms=1).now or int(time.time() * 1000)
    job = workshop.ended(workshop.admit("hi", not_before=now + 600))
    assert job.started is not None
    assert 600 <= job.started - now < 900


def test_an_idle_engine_asks_the_store_once_in_a_second_or_two(workshop: Workshop) -> None:
    store = Unreliable(workshop.store)
    workshop.engine(store=store)
    settle(workshop)
    before, began = store.calls["exchange"], time.monotonic()
    eventually(lambda: store.calls["exchange"] >= before + 2)
    assert time.monotonic() - began > LOOK_S[0]


def test_who_has_filled_all_slots_tells_others_and_listens_again_when_there_is_room(workshop: Workshop) -> None:
    rings: list[bool] = []
    full: list[bool] = []
    workshop.engine(concurrency=2, options={"ring": lambda: rings.append(True), "saturated": full.append})
    gate = workshop.scripts["wait"] = Gate()
    for n in range(3):
        admit_job(workshop.store, f"ses_{n}", "wait", model=MODEL)
    workshop.engines[0].look()
    eventually(lambda: gate.reached == 2)
    eventually(lambda: rings and full == [True])
    gate.open()
    eventually(lambda: full == [True, False])


def test_a_full_engine_does_not_ask_for_work(workshop: Workshop) -> None:
    store = Unreliable(workshop.store)
    engine = workshop.engine(store=store, concurrency=1)
    gate = workshop.scripts["wait"] = Gate()
    workshop.admit("wait")
    eventually(lambda: gate.reached)
    eventually(lambda: store.calls["look"] > 0)
    before = store.calls["exchange"]
    for _ in range(10):
        engine.look()
    seen = store.calls["look"]
    eventually(lambda: store.calls["look"] > seen)
    assert store.calls["exchange"] == before
    gate.open()


def test_two_engines_share_the_work_and_no_prompt_runs_twice(workshop: Workshop) -> None:
    jobs = [workshop.admit(f"prompt {n}", f"ses_{n % 7}") for n in range(70)]
    for _ in range(2):
        workshop.engine(concurrency=4)
    ended = [workshop.ended(job, timeout=30) for job in jobs]
    assert {(job.state, job.attempt) for job in ended} == {(State.SUCCEEDED, 1)}
    assert sorted(workshop.executor.begun) == sorted((f"prompt {n}", 1) for n in range(70))


def test_a_thousand_slots_are_filled_at_once(sqlite_workshop: Workshop) -> None:
    workshop = sqlite_workshop
    gate = workshop.scripts["wait"] = Gate()
    jobs = [admit_job(workshop.store, f"ses_{n}", "wait", model=MODEL) for n in range(1_000)]
    workshop.engine(concurrency=1_000)
    eventually(lambda: gate.reached == 1_000)
    gate.open()
    assert workshop.ended(jobs[0]).state is State.SUCCEEDED
    eventually(lambda: not workshop.store.busy_sessions("default"))
