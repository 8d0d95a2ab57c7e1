import pytest

from domain.jobs import CancelScope, Outcome, State
from storage.base import Store
from tests.storage.actors import Worker, admit, admit_job
from tests.support.clocks import FakeClock


def test_prompts_of_a_session_run_one_after_another_in_the_order_admitted(store: Store, worker: Worker) -> None:
    jobs = [admit_job(store, text=f"prompt {number}") for number in range(5)]
    assert [job.seq for job in jobs] == [1, 2, 3, 4, 5]
    for job in jobs:
        claimed = worker.claim()
        assert [each.job.id for each in claimed] == [job.id]
        assert worker.claim() == []
        worker.finish(claimed[0].job)
    assert worker.claim() == []


def test_sessions_run_side_by_side(store: Store, worker: Worker) -> None:
    jobs = [admit_job(store, f"ses_{number}") for number in range(10)]
    assert {each.job.id for each in worker.claim()} == {job.id for job in jobs}


def test_only_the_head_carries_a_time_to_be_ready(store: Store, worker: Worker) -> None:
    jobs = [admit_job(store) for _ in range(3)]

    def stamped() -> list[int]:
        return [job.seq for job in jobs if store.job("default", job.id).ready_at is not None]

    assert stamped() == [1]
    worker.finish(worker.claim_one())
    assert stamped() == [2]
    store.cancel_job("default", jobs[1].id)
    assert stamped() == [3]
    store.cancel_job("default", jobs[2].id)
    assert stamped() == []


def test_a_head_that_waits_holds_its_session(store: Store, worker: Worker, clock: FakeClock) -> None:
    first = admit_job(store, not_before=clock.now + 1_000)
    second = admit_job(store, priority=9)
    assert worker.claim() == []
    clock.advance(1_000)
    assert worker.run() == [first.id, second.id]


def test_the_next_head_becomes_ready_when_the_one_before_it_ends(
    store: Store, worker: Worker, clock: FakeClock
) -> None:
    admit(store)
    second = admit_job(store)
    job = worker.claim_one()
    ended = clock.advance(500)
    worker.finish(job)
    assert store.job("default", second.id).ready_at == ended


def test_a_next_head_with_a_time_to_come_waits_for_it(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store)
    second = admit_job(store, not_before=clock.now + 1_000)
    worker.run()
    assert store.job("default", second.id).ready_at == clock.now + 1_000
    assert worker.claim() == []
    clock.advance(1_000)
    assert worker.run() == [second.id]


def test_a_head_ranks_as_the_most_urgent_open_job_behind_it(store: Store, worker: Worker, clock: FakeClock) -> None:
    head = admit_job(store, "ses_a", priority=2)
    clock.advance(1)
    rival = admit_job(store, "ses_b", priority=5)
    urgent = admit_job(store, "ses_a", priority=9)
    assert store.job("default", head.id).rank == 9
    assert [each.job.id for each in worker.claim(1)] == [head.id]
    worker.finish(store.job("default", head.id))
    assert [each.job.id for each in worker.claim()] == [urgent.id, rival.id]


def test_a_head_loses_the_rank_of_a_job_that_was_cancelled(store: Store) -> None:
    head = admit_job(store, priority=2)
    urgent = admit_job(store, priority=9)
    store.cancel_job("default", urgent.id)
    assert store.job("default", head.id).rank == 2


def test_an_idle_session_has_no_head(store: Store, worker: Worker) -> None:
    first, second = admit_job(store), admit_job(store)
    head = store.head(second)
    assert head is not None
    assert head.id == first.id
    worker.run()
    assert store.head(second) is None


def test_busy_sessions_are_listed_with_their_heads(store: Store, worker: Worker, clock: FakeClock) -> None:
    first = admit_job(store, "ses_a")
    admit(store, "ses_a")
    waiting = admit_job(store, "ses_b", not_before=clock.now + 9)
    admit(store, "ses_note", no_reply=True)
    admit(store, "ses_other", tenant="other")
    assert {key: job.id for key, job in store.busy_sessions("default").items()} == {
        "ses_a": first.id,
        "ses_b": waiting.id,
    }
    clock.advance(9)
    worker.run()
    assert store.busy_sessions("default") == {}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
def test_a_session_goes_on_after_a_prompt_without_answer(store: Store, worker: Worker, outcome: Outcome) -> None:
    admit(store)
    second = admit_job(store)
    worker.finish(worker.claim_one(), outcome)
    assert worker.run() == [second.id]


def test_the_counts_of_open_jobs_follow_every_change(store: Store, worker: Worker) -> None:
    for priority in (0, 5, 5, 9):
        admit(store, priority=priority)
    assert store.session("default", "ses_a").open == (1, 0, 0, 0, 0, 2, 0, 0, 0, 1)
    worker.finish(worker.claim_one())
    assert store.session("default", "ses_a").open == (0, 0, 0, 0, 0, 2, 0, 0, 0, 1)
    running = worker.claim_one()
    store.abort_session("default", "ses_a")
    assert store.session("default", "ses_a").open == (0, 0, 0, 0, 0, 1, 0, 0, 0, 0)
    assert store.job("default", running.id).cancel_requested is CancelScope.SESSION
    worker.finish(running, Outcome.CANCELLED)
    assert store.session("default", "ses_a").open_total == 0
    assert store.job("default", running.id).state is State.CANCELLED
