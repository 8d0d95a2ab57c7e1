from domain.jobs import Outcome, State
from storage.base import Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job, create
from tests.support.clocks import FakeClock


def test_a_job_that_has_not_started_by_its_time_expires(store: Store, clock: FakeClock) -> None:
    job = admit_job(store, expires_at=clock.now + 10)
    clock.advance(9)
    assert store.reconcile(limit=10).ended == ()
    now = clock.advance(1)
    mended = store.reconcile(limit=10)
    assert mended.woke
    assert [(each.id, each.state, each.ended) for each in mended.ended] == [(job.id, State.EXPIRED, now)]
    assert store.job("default", job.id) == mended.ended[0]
    answer = store.answer("default", "ses_a", job.incarnation, job.seq)
    assert answer is not None
    assert answer.failed
    assert store.session("default", "ses_a").open_total == 0


def test_an_overdue_head_is_never_claimed_and_the_next_one_is(store: Store, clock: FakeClock) -> None:
    overdue = admit_job(store, expires_at=clock.now + 10)
    behind = admit_job(store)
    clock.advance(10)
    told = store.exchange("w1", (), slots=1, lease_ms=LEASE_MS)
    assert [(job.id, job.state) for job in told.ended] == [(overdue.id, State.EXPIRED)]
    assert [each.job.id for each in told.claimed] == [behind.id]


def test_many_overdue_heads_do_not_keep_a_worker_from_what_it_can_do(store: Store, clock: FakeClock) -> None:
    for number in range(5):
        admit(store, f"ses_late_{number}", priority=9, expires_at=clock.now + 10)
    ready = admit_job(store, "ses_ready")
    clock.advance(10)
    told = store.exchange("w1", (), slots=2, lease_ms=LEASE_MS)
    assert len(told.ended) == 5
    assert [each.job.id for each in told.claimed] == [ready.id]


def test_a_job_expires_wherever_it_stands(store: Store, worker: Worker, clock: FakeClock) -> None:
    first = admit_job(store)
    second = admit_job(store, expires_at=clock.now + 10, priority=9)
    third = admit_job(store)
    worker.claim()
    clock.advance(10)
    assert [job.id for job in store.reconcile(limit=10).ended] == [second.id]
    assert store.job("default", first.id).state is State.RUNNING
    worker.finish(store.job("default", first.id))
    assert worker.run() == [third.id]


def test_a_job_that_started_in_time_does_not_expire(store: Store, worker: Worker, clock: FakeClock) -> None:
    job = admit_job(store, expires_at=clock.now + 10)
    claimed = worker.claim_one()
    clock.advance(20)
    assert store.reconcile(limit=10).ended == ()
    worker.finish(claimed, Outcome.TRANSIENT)
    clock.advance(10_000)
    assert store.reconcile(limit=10).ended == ()
    assert worker.run() == [job.id]


def test_an_expired_prompt_stops_a_session_that_stops(store: Store, worker: Worker, clock: FakeClock) -> None:
    create(store, on_failure="stop")
    first = admit_job(store)
    second = admit_job(store, expires_at=clock.now + 10)
    third = admit_job(store)
    clock.advance(10)
    ended = store.reconcile(limit=10).ended
    assert {(job.id, job.state) for job in ended} == {(second.id, State.EXPIRED), (third.id, State.CANCELLED)}
    assert worker.run() == [first.id]


def test_an_overdue_head_that_a_claim_finds_stops_its_session(store: Store, worker: Worker, clock: FakeClock) -> None:
    create(store, on_failure="stop")
    admit(store, expires_at=clock.now + 10)
    behind = admit_job(store)
    clock.advance(10)
    assert worker.claim() == []
    assert store.job("default", behind.id).state is State.CANCELLED


def test_a_waiting_head_expires_before_its_time_comes(store: Store, worker: Worker, clock: FakeClock) -> None:
    head = admit_job(store, not_before=clock.now + 100, expires_at=clock.now + 10)
    behind = admit_job(store)
    clock.advance(10)
    assert [job.id for job in store.reconcile(limit=10).ended] == [head.id]
    assert worker.run() == [behind.id]
