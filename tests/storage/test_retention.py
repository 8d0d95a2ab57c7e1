import pytest

from domain.errors import JobNotFound, PromptDiffers
from domain.jobs import Outcome, State
from domain.prompts import Disposition
from storage.base import JobQuery, Store
from tests.storage.actors import Worker, admit, admit_job
from tests.storage.kinds import durable
from tests.support.clocks import FakeClock

pytestmark = durable


def test_the_records_of_jobs_that_ended_long_ago_are_removed(store: Store, worker: Worker, clock: FakeClock) -> None:
    old = admit_job(store, "ses_old")
    worker.run()
    clock.advance(100)
    young = admit_job(store, "ses_young")
    worker.run()
    still_open = admit_job(store, "ses_open")
    clock.advance(10)
    assert store.prune(older_than_ms=50, limit=10) == 1
    with pytest.raises(JobNotFound):
        store.job("default", old.id)
    assert {job.id for job in store.jobs("default", JobQuery())} == {young.id, still_open.id}
    assert store.prune(older_than_ms=50, limit=10) == 0


def test_open_jobs_are_never_removed(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store, "ses_a")
    worker.claim()
    admit(store, "ses_b")
    clock.advance(10**9)
    assert store.prune(older_than_ms=1, limit=10) == 0


def test_no_more_are_removed_in_one_step_than_asked_for(store: Store, worker: Worker, clock: FakeClock) -> None:
    order = []
    for number in range(5):
        order.append(admit_job(store, f"ses_{number}").id)
        worker.run()
        clock.advance(1)
    clock.advance(100)
    assert store.prune(older_than_ms=50, limit=2) == 2
    assert {job.id for job in store.jobs("default", JobQuery())} == set(order[2:])
    assert [store.prune(older_than_ms=50, limit=2) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize("key", [{"message_id": "msg_1"}, {"idempotency_key": "k"}])
@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
def test_a_key_outlives_the_record_of_its_job(
    store: Store, worker: Worker, clock: FakeClock, key: dict[str, str], outcome: Outcome
) -> None:
    job = admit_job(store, **key)
    worker.run(outcome)
    clock.advance(100)
    assert store.prune(older_than_ms=50, limit=10) == 1
    again = admit(store, **key)
    assert (again.disposition, again.job) == (Disposition.REPEATED, None)
    assert (again.message.job_id, again.message.job_state) == (job.id, str(outcome))
    answer = store.answer("default", "ses_a", again.session.incarnation, again.message.seq)
    assert answer is not None
    assert answer.job_id == job.id
    with pytest.raises(PromptDiffers):
        admit(store, text="something else", **key)
    assert worker.claim() == []


def test_the_conversation_outlives_the_records_of_its_jobs(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store)
    worker.run()
    before = [message.id for message in store.messages("default", "ses_a")]
    clock.advance(100)
    store.prune(older_than_ms=50, limit=10)
    assert [message.id for message in store.messages("default", "ses_a")] == before
    job = admit_job(store)
    assert job.seq == 2
    assert len(store.history(job)) == 1


def test_a_removed_job_is_gone_for_every_request(store: Store, worker: Worker, clock: FakeClock) -> None:
    job = admit_job(store)
    worker.run(Outcome.FAILED)
    clock.advance(100)
    store.prune(older_than_ms=50, limit=10)
    for ask in (store.job, store.cancel_job, store.retry_job):
        with pytest.raises(JobNotFound):
            ask("default", job.id)
    assert store.jobs_by_id([("default", job.id)]) == {}
    assert len(worker.finish(job.evolve(attempt=1)).fenced) == 1


def test_the_records_of_a_deleted_session_are_removed_too(store: Store, clock: FakeClock) -> None:
    job = admit_job(store)
    store.delete_session("default", "ses_a")
    assert store.job("default", job.id).state is State.CANCELLED
    clock.advance(100)
    assert store.prune(older_than_ms=50, limit=10) == 1
    with pytest.raises(JobNotFound):
        store.job("default", job.id)
