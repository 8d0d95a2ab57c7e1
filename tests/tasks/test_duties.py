"""What one engine does for all."""

import pytest

from domain.clock import millis
from domain.jobs import State
from tasks.engine.outlets import Commit
from tests.storage.actors import Worker, admit_job
from tests.support.waiting import eventually
from tests.tasks.conftest import Workshop
from tests.tasks.scripted import Unreliable


def test_one_engine_at_a_time_has_the_duty_and_another_follows(workshop: Workshop) -> None:
    stores = [Unreliable(workshop.store) for _ in range(2)]
    engines = [workshop.engine(store=store, lease=1) for store in stores]
    eventually(lambda: any(store.calls["reconcile"] for store in stores))
    holder = 0 if stores[0].calls["reconcile"] else 1
    other = 1 - holder
    eventually(lambda: stores[other].calls["hold"] >= 3)
    assert stores[other].calls["reconcile"] == 0
    engines[holder].stop()
    eventually(lambda: stores[other].calls["reconcile"])


def test_a_prompt_that_missed_its_time_expires(workshop: Workshop) -> None:
    told: list[Commit] = []
    workshop.engine(lease=1, options={"audiences": {"test": told.extend}})
    workshop.admit("hold the session", "ses_a", not_before=2_000_000_000_000)
    job = workshop.admit("late", "ses_b", not_before=2_000_000_000_000, expires_at=1)
    assert workshop.ended(job).state is State.EXPIRED
    eventually(lambda: [j.id for commit in told for j in commit.ended] == [job.id])


def test_lost_prompts_are_told(workshop: Workshop) -> None:
    job = workshop.admit("hi")
    workshop.store.exchange("dead", (), slots=1, lease_ms=1)
    told: list[Commit] = []
    workshop.engine(lease=1, options={"audiences": {"test": told.extend}})
    workshop.ended(job)
    eventually(lambda: [before.attempt for commit in told for before, _ in commit.lost] == [1])


def test_records_of_jobs_that_ended_long_ago_are_removed(workshop: Workshop) -> None:
    workshop.engine(lease=1, retention=0.2 / 86_400)
    jobs = [workshop.ended(workshop.admit(f"prompt {n}")) for n in range(3)]
    assert millis(0.2) == 200
    eventually(lambda: not workshop.store.jobs_by_id([(job.tenant, job.id) for job in jobs]))
    assert [message.job_state for message in workshop.store.messages("default", "ses_a") if message.role == "user"] == [
        "succeeded"
    ] * 3


def test_many_old_records_are_removed_step_by_step_in_one_round(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.engine.duties.PRUNE_LIMIT", 2)
    jobs = [admit_job(workshop.store, f"ses_{n}") for n in range(9)]
    Worker(workshop.store).run()
    store = Unreliable(workshop.store)
    workshop.engine(store=store, lease=6, retention=0.001 / 86_400)
    eventually(lambda: not workshop.store.jobs_by_id([(job.tenant, job.id) for job in jobs]))
    assert store.calls["prune"] > store.calls["reconcile"]


def test_a_round_that_the_store_cannot_answer_is_done_later(workshop: Workshop) -> None:
    store = Unreliable(workshop.store)
    workshop.engine(store=store, lease=1)
    store.away = True
    eventually(lambda: store.calls["hold"] >= 2)
    store.away = False
    eventually(lambda: store.calls["reconcile"])
