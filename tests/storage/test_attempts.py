import pytest

from domain.jobs import Failure, Outcome, PastAttempt, State
from domain.lifecycle import MOST_LOSSES
from domain.messages import Role, Usage
from storage.base import Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job, held, texts
from tests.support.clocks import FakeClock


def test_success_commits_one_answer_in_its_place(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store, text="hello", message_id="msg_1")
    job = worker.claim_one()
    ended = clock.advance(40)
    told = worker.finish(job, text="hi there", usage=Usage(1, 2, 3, 4, 5), cost=0.125, finish="stop")
    assert told.taken == (store.job("default", job.id),)
    (done,) = told.taken
    assert (done.state, done.ended, done.usage, done.cost) == (State.SUCCEEDED, ended, Usage(1, 2, 3, 4, 5), 0.125)
    assert (done.outcome, done.failure, done.lease_until, done.ready_at) == (Outcome.SUCCEEDED, None, None, None)
    prompt, answer = store.messages("default", "ses_a")
    assert (prompt.role, answer.role) == (Role.USER, Role.ASSISTANT)
    assert (answer.id, answer.job_id, answer.seq, answer.detail["parentID"]) == (job.assistant_id, job.id, 1, "msg_1")
    assert texts([answer]) == ["hi there"]
    assert store.answer("default", "ses_a", job.incarnation, 1) == answer
    session = store.session("default", "ses_a")
    assert (session.usage, session.cost, session.updated, session.open_total) == (done.usage, 0.125, ended, 0)


def test_there_is_no_answer_before_the_end(store: Store, worker: Worker) -> None:
    job = admit_job(store)
    assert store.answer("default", "ses_a", job.incarnation, job.seq) is None
    worker.claim()
    assert store.answer("default", "ses_a", job.incarnation, job.seq) is None
    assert len(store.messages("default", "ses_a")) == 1


def test_a_failure_that_may_pass_backs_off_and_keeps_its_session_waiting(
    store: Store, worker: Worker, clock: FakeClock
) -> None:
    job = admit_job(store)
    admit(store)
    started = clock.now
    claimed = worker.claim_one()
    ended = clock.advance(10)
    (again,) = worker.finish(claimed, Outcome.TRANSIENT, failure=Failure("provider_error", "busy")).taken
    assert (again.state, again.charges, again.ready_at) == (State.QUEUED, 1, ended + 500)
    assert again.past_attempts == (PastAttempt(1, "w1", started, ended, Outcome.TRANSIENT),)
    assert store.job("default", job.id) == again
    assert worker.claim() == []
    clock.advance(499)
    assert worker.claim() == []
    clock.advance(1)
    assert worker.claim_one().attempt == 2


def test_back_off_grows_with_every_charge(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store, max_attempts=9)
    waits = []
    for _ in range(8):
        (again,) = worker.finish(worker.claim_one(), Outcome.TIMED_OUT).taken
        waits.append((again.ready_at or 0) - clock.now)
        clock.advance(60_000)
    assert waits == [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]


def test_a_retry_after_is_kept(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store)
    (again,) = worker.finish(worker.claim_one(), Outcome.TRANSIENT, retry_after_ms=20_000).taken
    assert again.ready_at == clock.now + 20_500


def test_the_last_allowed_attempt_ends_the_job_with_its_failure(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store, max_attempts=2)
    failure = Failure("provider_error", "still busy", 503, from_provider=True)
    worker.finish(worker.claim_one(), Outcome.TRANSIENT, failure=failure)
    clock.advance(60_000)
    (ended,) = worker.finish(worker.claim_one(), Outcome.TRANSIENT, failure=failure).taken
    assert (ended.state, ended.attempt, ended.charges, ended.failure) == (State.FAILED, 2, 2, failure)
    assert store.job("default", ended.id) == ended
    answer = store.answer("default", "ses_a", ended.incarnation, 1)
    assert answer is not None
    assert answer.detail["error"]["name"] == "APIError"


def test_usage_is_summed_over_a_session(store: Store, worker: Worker) -> None:
    for _ in range(3):
        admit(store)
        worker.finish(worker.claim_one(), usage=Usage(10, 1), cost=0.5)
    session = store.session("default", "ses_a")
    assert (session.usage, session.cost) == (Usage(30, 3), 1.5)


@pytest.mark.parametrize("outcome", [Outcome.RETURNED, Outcome.TRANSIENT, Outcome.TIMED_OUT])
def test_a_job_that_may_be_tried_once_is_tried_once(store: Store, worker: Worker, outcome: Outcome) -> None:
    admit(store, max_attempts=1)
    (ended,) = worker.finish(worker.claim_one(), outcome).taken
    assert (ended.state, ended.attempt) == (State.FAILED, 1)
    assert worker.claim() == []


def test_a_lost_worker_is_replaced_and_the_job_uncharged(store: Store, clock: FakeClock) -> None:
    job = admit_job(store)
    before = Worker(store, "w1").claim_one()
    clock.advance(LEASE_MS - 1)
    assert not store.reconcile(limit=10).woke
    now = clock.advance(1)
    mended = store.reconcile(limit=10)
    assert mended.woke
    ((was, is_now),) = mended.lost
    assert was == before
    assert (is_now.state, is_now.charges, is_now.losses, is_now.ready_at) == (State.QUEUED, 0, 1, now)
    assert store.job("default", job.id) == is_now
    again = Worker(store, "w2").claim_one()
    assert (again.attempt, again.assistant_id != before.assistant_id) == (2, True)


def test_a_lost_job_that_may_be_tried_once_fails(store: Store, worker: Worker, clock: FakeClock) -> None:
    job = admit_job(store, max_attempts=1)
    worker.claim()
    clock.advance(LEASE_MS)
    store.reconcile(limit=10)
    ended = store.job("default", job.id)
    assert (ended.state, ended.failure and ended.failure.code) == (State.FAILED, "worker_lost")
    assert store.answer("default", "ses_a", job.incarnation, job.seq) is not None


def test_a_poison_prompt_ends_after_its_charges_and_no_prompt_beside_it_does(store: Store, clock: FakeClock) -> None:
    poison = admit_job(store, "ses_poison")
    good = [admit_job(store, f"ses_{number}", max_attempts=3) for number in range(3)]
    rounds = 0
    while store.job("default", poison.id).state.is_open:
        rounds += 1
        worker = Worker(store, f"w{rounds}")
        claimed = [each.job for each in worker.claim(suspects=1)]
        if poison.id not in [job.id for job in claimed]:
            for job in claimed:
                worker.finish(job)
        clock.advance(LEASE_MS)
        store.reconcile(limit=100)
        clock.advance(60_000)
    ended = store.job("default", poison.id)
    assert (ended.state, ended.charges, ended.attempt) == (State.FAILED, 3, 5)
    finisher = Worker(store, "last")
    for _ in good:
        finisher.run()
    states = {store.job("default", job.id).state for job in good}
    assert states == {State.SUCCEEDED}


def test_a_suspect_that_renewed_after_its_first_seconds_is_not_charged(store: Store, clock: FakeClock) -> None:
    job = admit_job(store)
    for losses in range(1, MOST_LOSSES):
        claimed = Worker(store).claim_one()
        clock.advance(2_000)
        store.renew("w1", held(claimed), lease_ms=LEASE_MS)
        clock.advance(LEASE_MS)
        store.reconcile(limit=10)
        again = store.job("default", job.id)
        assert (again.losses, again.charges, again.state) == (losses, 0, State.QUEUED)
    Worker(store).claim_one()
    clock.advance(LEASE_MS)
    store.reconcile(limit=10)
    assert store.job("default", job.id).state is State.FAILED


def test_every_attempt_is_on_record(store: Store, clock: FakeClock) -> None:
    job = admit_job(store, max_attempts=5)
    one, two = Worker(store, "w1"), Worker(store, "w2")
    one.finish(one.claim_one(), Outcome.TRANSIENT)
    clock.advance(1_000)
    two.finish(two.claim_one(), Outcome.RETURNED)
    one.claim_one()
    clock.advance(LEASE_MS)
    store.reconcile(limit=10)
    two.finish(two.claim_one())
    ended = store.job("default", job.id)
    assert [(past.number, past.worker, past.outcome) for past in ended.past_attempts] == [
        (1, "w1", Outcome.TRANSIENT),
        (2, "w2", Outcome.RETURNED),
        (3, "w1", Outcome.LOST),
    ]
    assert (ended.attempt, ended.worker, ended.outcome) == (4, "w2", Outcome.SUCCEEDED)
