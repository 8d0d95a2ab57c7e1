import pytest

from domain.errors import JobNotFound, JobNotRetryable, PromptDiffers, SessionNotFound
from domain.jobs import CancelScope, Outcome, State
from domain.prompts import Disposition
from storage.base import Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job, create, texts
from tests.storage.kinds import durable
from tests.support.clocks import FakeClock


def test_a_queued_job_is_cancelled_at_once(store: Store, worker: Worker, clock: FakeClock) -> None:
    job = admit_job(store)
    now = clock.advance(5)
    told = store.cancel_job("default", job.id)
    (cancelled,) = told.jobs
    assert (told.ended, cancelled.state, cancelled.ended, cancelled.attempt) == ((cancelled,), State.CANCELLED, now, 0)
    assert store.job("default", job.id) == cancelled
    answer = store.answer("default", "ses_a", job.incarnation, job.seq)
    assert answer is not None
    assert (answer.id, answer.failed, list(answer.parts)) == (cancelled.assistant_id, True, [])
    assert answer.detail["error"]["name"] == "MessageAbortedError"
    assert worker.claim() == []


def test_cancelling_a_head_lets_the_next_one_run(store: Store, worker: Worker, clock: FakeClock) -> None:
    head = admit_job(store, not_before=clock.now + 9)
    behind = admit_job(store)
    store.cancel_job("default", head.id)
    assert worker.run() == [behind.id]


def test_cancelling_in_the_middle_leaves_the_order_of_the_others(store: Store, worker: Worker) -> None:
    first, second, third = (admit_job(store) for _ in range(3))
    store.cancel_job("default", second.id)
    assert worker.run() == [first.id, third.id]


def test_a_running_job_is_ended_by_its_worker(store: Store, worker: Worker) -> None:
    admit(store)
    job = worker.claim_one()
    told = store.cancel_job("default", job.id)
    assert (told.ended, told.jobs[0].state, told.jobs[0].cancel_requested) == ((), State.RUNNING, CancelScope.JOB)
    worker.finish(job, Outcome.CANCELLED, "half an ans")
    assert store.job("default", job.id).state is State.CANCELLED
    answer = store.answer("default", "ses_a", job.incarnation, job.seq)
    assert answer is not None
    assert (texts([answer]), answer.failed) == (["half an ans"], True)


def test_an_answer_that_is_committed_first_wins(store: Store, worker: Worker) -> None:
    admit(store)
    job = worker.claim_one()
    store.cancel_job("default", job.id)
    worker.finish(job)
    assert store.job("default", job.id).state is State.SUCCEEDED


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.TIMED_OUT, Outcome.RETURNED])
def test_a_cancelled_job_is_not_tried_again(store: Store, worker: Worker, outcome: Outcome) -> None:
    admit(store)
    job = worker.claim_one()
    store.cancel_job("default", job.id)
    worker.finish(job, outcome)
    assert store.job("default", job.id).state is State.CANCELLED


def test_a_cancelled_job_whose_worker_is_lost_is_cancelled(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store)
    job = worker.claim_one()
    store.cancel_job("default", job.id)
    clock.advance(LEASE_MS)
    store.reconcile(limit=10)
    assert store.job("default", job.id).state is State.CANCELLED


def test_cancelling_again_changes_nothing(store: Store, worker: Worker) -> None:
    admit(store)
    job = worker.claim_one()
    asked = store.cancel_job("default", job.id)
    assert store.cancel_job("default", job.id) == asked
    worker.finish(job, Outcome.CANCELLED)
    ended = store.job("default", job.id)
    again = store.cancel_job("default", job.id)
    assert (again.jobs, again.ended) == ((ended,), ())


def test_a_job_that_is_not_there_cannot_be_cancelled_or_retried(store: Store) -> None:
    for ask in (store.job, store.cancel_job, store.retry_job):
        with pytest.raises(JobNotFound):
            ask("default", "job_nobody")


def test_an_abort_ends_what_waits_and_asks_what_runs(store: Store, worker: Worker) -> None:
    running, *waiting = [admit_job(store) for _ in range(3)]
    worker.claim()
    told = store.abort_session("default", "ses_a")
    assert [job.id for job in told.jobs] == [running.id, *(job.id for job in waiting)]
    assert [job.id for job in told.ended] == [job.id for job in waiting]
    assert store.job("default", running.id).cancel_requested is CancelScope.SESSION
    again = store.abort_session("default", "ses_a")
    assert ([job.id for job in again.jobs], again.ended) == ([running.id], ())


def test_an_abort_of_an_idle_session_does_nothing(store: Store) -> None:
    create(store)
    told = store.abort_session("default", "ses_a")
    assert (told.jobs, told.ended) == ((), ())


def test_an_interrupting_prompt_aborts_what_is_open_and_queues(store: Store, worker: Worker) -> None:
    running, waiting = admit_job(store), admit_job(store)
    worker.claim()
    told = admit(store, text="instead", when_busy="interrupt")
    assert told.disposition is Disposition.ADMITTED
    assert [job.id for job in told.interrupted] == [running.id]
    assert [(job.id, job.state) for job in told.ended] == [(waiting.id, State.CANCELLED)]
    assert told.job is not None
    assert told.job.seq == 3
    assert worker.claim() == []
    worker.finish(store.job("default", running.id), Outcome.CANCELLED)
    assert worker.run() == [told.job.id]


def test_an_interrupting_prompt_to_a_session_that_only_waits_is_its_head(
    store: Store, worker: Worker, clock: FakeClock
) -> None:
    admit(store, not_before=clock.now + 9_999)
    told = admit(store, when_busy="interrupt")
    assert told.job is not None
    assert worker.run() == [told.job.id]


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
def test_a_session_that_stops_cancels_those_behind_a_prompt_without_answer(
    store: Store, worker: Worker, outcome: Outcome
) -> None:
    create(store, on_failure="stop")
    first, *behind = [admit_job(store) for _ in range(3)]
    told = worker.finish(worker.claim_one(), outcome)
    assert [job.id for job in told.taken] == [first.id]
    assert [(job.id, job.state) for job in told.ended] == [(job.id, State.CANCELLED) for job in behind]
    for job in behind:
        assert store.answer("default", "ses_a", job.incarnation, job.seq) is not None
    assert worker.claim() == []
    later = admit_job(store)
    assert worker.run() == [later.id]


def test_a_session_that_stops_goes_on_after_a_success_or_a_back_off(
    store: Store, worker: Worker, clock: FakeClock
) -> None:
    create(store, on_failure="stop")
    jobs = [admit_job(store) for _ in range(3)]
    worker.finish(worker.claim_one())
    worker.finish(worker.claim_one(), Outcome.TRANSIENT)
    clock.advance(60_000)
    assert worker.run() == [job.id for job in jobs[1:]]


def test_cancelling_a_queued_job_stops_those_behind_it_and_not_those_before(store: Store, worker: Worker) -> None:
    create(store, on_failure="stop")
    first, second, third = (admit_job(store) for _ in range(3))
    told = store.cancel_job("default", second.id)
    assert [job.id for job in told.jobs] == [second.id]
    assert {job.id for job in told.ended} == {second.id, third.id}
    assert worker.run() == [first.id]


def test_what_is_admitted_after_an_abort_runs_even_where_failure_stops(store: Store, worker: Worker) -> None:
    create(store, on_failure="stop")
    admit(store)
    running = worker.claim_one()
    store.abort_session("default", "ses_a")
    later = admit_job(store)
    worker.finish(running, Outcome.CANCELLED)
    assert worker.run() == [later.id]


def test_what_interrupts_runs_even_where_failure_stops(store: Store, worker: Worker) -> None:
    create(store, on_failure="stop")
    admit(store)
    running = worker.claim_one()
    later = admit_job(store, when_busy="interrupt")
    worker.finish(running, Outcome.FAILED)
    assert worker.run() == [later.id]


def test_a_lost_job_that_fails_stops_its_session(store: Store, worker: Worker, clock: FakeClock) -> None:
    create(store, on_failure="stop")
    admit(store, max_attempts=1)
    behind = admit_job(store)
    worker.claim()
    clock.advance(LEASE_MS)
    mended = store.reconcile(limit=10)
    assert [job.id for job in mended.ended] == [behind.id]
    assert store.job("default", behind.id).state is State.CANCELLED


def test_a_retry_is_a_new_job_at_the_tail(store: Store, worker: Worker) -> None:
    failed = admit_job(store, text="again", model="p/m", priority=7, max_attempts=1, timeout_ms=5)
    worker.run(Outcome.FAILED)
    waiting = admit_job(store)
    told = store.retry_job("default", failed.id)
    job = told.job
    assert job is not None
    assert (told.disposition, job.retry_of, job.seq) == (Disposition.ADMITTED, failed.id, 3)
    assert (job.model, job.priority, job.max_attempts, job.timeout_ms) == ("p/m", 7, 1, 5)
    assert job.message_id != failed.message_id
    assert texts([store.message("default", "ses_a", job.message_id)]) == ["again"]
    assert worker.run() == [waiting.id, job.id]
    assert store.job("default", failed.id).state is State.FAILED


def test_a_key_that_was_used_for_something_else_retries_nothing(store: Store, worker: Worker) -> None:
    """A retry has the content of the prompt that it repeats, and two prompts may have the same: they differ even so."""
    one, two = admit_job(store, idempotency_key="k"), admit_job(store)
    worker.run(Outcome.FAILED)
    with pytest.raises(PromptDiffers):
        store.retry_job("default", one.id, idempotency_key="k")
    store.retry_job("default", one.id, idempotency_key="r")
    with pytest.raises(PromptDiffers):
        store.retry_job("default", two.id, idempotency_key="r")
    assert store.session("default", "ses_a").seq == 3


def test_a_retry_with_a_key_happens_once(store: Store, worker: Worker) -> None:
    failed = admit_job(store)
    worker.run(Outcome.FAILED)
    first = store.retry_job("default", failed.id, idempotency_key="k")
    again = store.retry_job("default", failed.id, idempotency_key="k")
    assert again.disposition is Disposition.REPEATED
    assert again.job == first.job
    assert store.retry_job("default", failed.id).disposition is Disposition.ADMITTED


def test_only_a_job_that_ended_without_success_can_be_retried(store: Store, worker: Worker) -> None:
    job = admit_job(store)
    for state in (State.QUEUED, State.RUNNING, State.SUCCEEDED):
        with pytest.raises(JobNotRetryable) as refused:
            store.retry_job("default", job.id)
        assert refused.value.state == state
        if state is State.QUEUED:
            worker.claim()
        else:
            worker.finish(store.job("default", job.id))


@durable
def test_a_job_of_a_deleted_session_cannot_be_retried(store: Store, worker: Worker) -> None:
    failed = admit_job(store)
    worker.run(Outcome.FAILED)
    store.delete_session("default", "ses_a")
    with pytest.raises(SessionNotFound):
        store.retry_job("default", failed.id)
    admit(store)
    with pytest.raises(SessionNotFound):
        store.retry_job("default", failed.id)
