import pytest

from domain.errors import MessageNotFound, SessionNotFound
from domain.jobs import Failure, Outcome, State
from domain.prompts import Disposition
from storage.base import JobQuery, SessionQuery, Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job, create, finished, held
from tests.storage.kinds import durable
from tests.support.clocks import FakeClock


def test_deleting_a_session_cancels_its_open_jobs_and_removes_its_messages(
    store: Store, worker: Worker, clock: FakeClock
) -> None:
    done, running, waiting = (admit_job(store) for _ in range(3))
    worker.finish(worker.claim_one())
    worker.claim()
    now = clock.advance(7)
    cancelled = store.delete_session("default", "ses_a")
    assert [job.id for job in cancelled] == [running.id, waiting.id]
    assert all((job.state, job.ended, job.ready_at) == (State.CANCELLED, now, None) for job in cancelled)
    with pytest.raises(SessionNotFound):
        store.messages("default", "ses_a")
    assert store.answer("default", "ses_a", done.incarnation, done.seq) is None
    assert store.history(waiting) == []
    assert store.head(waiting) is None
    assert store.sessions("default", SessionQuery()) == []
    assert worker.claim() == []


def test_cancelled_jobs_are_told_in_their_order_whichever_was_changed_last(store: Store, worker: Worker) -> None:
    jobs = [admit_job(store, priority=priority) for priority in (5, 5, 9)]
    worker.finish(worker.claim_one(), Outcome.RETURNED)
    assert [job.id for job in store.delete_session("default", "ses_a")] == [job.id for job in jobs]


@durable
def test_the_records_of_its_jobs_stay_without_content(store: Store, worker: Worker) -> None:
    failed = admit_job(store)
    worker.claim()
    failure = Failure("provider_error", "the model said: secret words", 400, from_provider=True)
    worker.finish(store.job("default", failed.id), Outcome.FAILED, failure=failure)
    waiting = admit_job(store)
    store.delete_session("default", "ses_a")
    kept = store.job("default", failed.id)
    assert (kept.state, kept.failure) == (State.FAILED, Failure("provider_error", "", 400, from_provider=True))
    buried = store.job("default", waiting.id)
    assert buried.failure == Failure("session_deleted", "")
    assert {job.id for job in store.jobs("default", JobQuery(session_id="ses_a"))} == {failed.id, waiting.id}


@durable
def test_a_worker_loses_the_lease_of_a_deleted_sessions_job(store: Store, worker: Worker) -> None:
    admit(store)
    job = worker.claim_one()
    store.delete_session("default", "ses_a")
    assert store.look("w1", held(job)).lost == {job.id}
    assert len(worker.finish(job).fenced) == 1
    assert store.job("default", job.id).state is State.CANCELLED
    with pytest.raises(SessionNotFound):
        store.session("default", "ses_a")


def test_after_a_delete_the_same_names_are_new(store: Store, worker: Worker) -> None:
    create(store, title="A")
    old = admit(store, message_id="msg_1", text="old")
    worker.run()
    store.delete_session("default", "ses_a")
    assert create(store, title="B").incarnation != old.session.incarnation
    new = admit(store, message_id="msg_1", text="new")
    assert (new.disposition, new.message.seq) == (Disposition.ADMITTED, 1)
    assert old.job is not None
    assert new.job is not None
    assert new.job.id != old.job.id
    assert worker.run() == [new.job.id]
    assert [turn.prompt.id for turn in store.history(new.job.evolve(seq=99))] == ["msg_1"]


def test_an_attempt_of_the_old_incarnation_does_not_end_up_in_the_new_one(store: Store, worker: Worker) -> None:
    admit(store)
    old = worker.claim_one()
    store.delete_session("default", "ses_a")
    new = admit_job(store)
    claimed = Worker(store, "w2").claim_one()
    assert len(worker.finish(old).fenced) == 1
    disguised = finished(old).evolve(incarnation=new.incarnation)
    assert len(store.exchange("w1", [disguised], slots=0, lease_ms=LEASE_MS).fenced) == 1
    assert store.answer("default", "ses_a", new.incarnation, new.seq) is None
    assert store.job("default", claimed.id) == claimed


def test_a_deleted_sessions_jobs_are_never_mended(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store, expires_at=clock.now + 10)
    admit(store, "ses_b")
    worker.claim()
    store.delete_session("default", "ses_a")
    store.delete_session("default", "ses_b")
    clock.advance(10 * LEASE_MS)
    assert not store.reconcile(limit=10).woke


@durable
def test_cancelling_a_deleted_sessions_job_changes_nothing(store: Store) -> None:
    job = admit_job(store)
    store.delete_session("default", "ses_a")
    admit(store)
    told = store.cancel_job("default", job.id)
    assert (told.jobs, told.ended) == ((store.job("default", job.id),), ())


def test_children_outlive_their_parent(store: Store) -> None:
    create(store, "ses_parent")
    child = create(store, "ses_child", parent_id="ses_parent")
    store.delete_session("default", "ses_parent")
    assert store.session("default", "ses_child") == child


def test_other_sessions_are_untouched(store: Store, worker: Worker) -> None:
    kept = admit(store, "ses_b")
    admit(store, "ses_a")
    store.delete_session("default", "ses_a")
    assert store.message("default", "ses_b", kept.message.id).id == kept.message.id
    assert kept.job is not None
    assert worker.run() == [kept.job.id]
    with pytest.raises(MessageNotFound):
        store.message("default", "ses_b", "msg_nobody")
