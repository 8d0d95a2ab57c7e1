import pytest

from domain.jobs import Outcome, State
from domain.messages import Usage
from storage.base import Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job, finished, held
from tests.support.clocks import FakeClock


def test_an_end_is_taken_once(store: Store, worker: Worker) -> None:
    admit(store)
    job = worker.claim_one()
    assert len(worker.finish(job, text="first", usage=Usage(1), cost=1.0).taken) == 1
    again = worker.finish(job, text="second", usage=Usage(1), cost=1.0)
    assert (again.taken, [each.job_id for each in again.fenced]) == ((), [job.id])
    answer = store.answer("default", "ses_a", job.incarnation, job.seq)
    assert answer is not None
    assert answer.parts[0]["text"] == "first"
    assert store.session("default", "ses_a").usage == Usage(1)


def test_an_end_that_is_told_twice_in_one_call_is_taken_once(store: Store, worker: Worker) -> None:
    admit(store)
    job = worker.claim_one()
    told = store.exchange("w1", [finished(job), finished(job, Outcome.FAILED)], slots=0, lease_ms=LEASE_MS)
    assert [each.state for each in told.taken] == [State.SUCCEEDED]
    assert len(told.fenced) == 1
    assert store.job("default", job.id).state is State.SUCCEEDED


def test_the_end_of_an_attempt_that_was_lost_is_thrown_away(store: Store, clock: FakeClock) -> None:
    admit(store)
    slow, quick = Worker(store, "slow"), Worker(store, "quick")
    stale = slow.claim_one()
    clock.advance(LEASE_MS)
    store.reconcile(limit=10)
    assert slow.finish(stale).taken == ()
    fresh = quick.claim_one()
    assert (fresh.id, fresh.attempt) == (stale.id, 2)
    assert slow.finish(stale).taken == ()
    assert store.job("default", fresh.id) == fresh
    assert len(quick.finish(fresh).taken) == 1
    assert slow.finish(stale).taken == ()


def test_a_late_end_is_taken_while_nobody_has_ended_the_lease(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store)
    job = worker.claim_one()
    clock.advance(10 * LEASE_MS)
    assert [each.state for each in worker.finish(job).taken] == [State.SUCCEEDED]
    assert store.reconcile(limit=10).lost == ()


def test_ends_that_were_fenced_do_not_hold_up_those_beside_them(store: Store, worker: Worker) -> None:
    for number in range(4):
        admit(store, f"ses_{number}")
    jobs = [each.job for each in worker.claim()]
    worker.finish(jobs[1])
    told = store.exchange("w1", [finished(job) for job in jobs], slots=0, lease_ms=LEASE_MS)
    assert [job.id for job in told.taken] == [jobs[0].id, jobs[2].id, jobs[3].id]
    assert [each.job_id for each in told.fenced] == [jobs[1].id]


def test_an_end_for_a_job_that_nobody_knows_is_thrown_away(store: Store, worker: Worker) -> None:
    admit(store)
    unknown = worker.claim_one().evolve(id="job_unknown")
    assert len(worker.finish(unknown).fenced) == 1
    other = finished(unknown).evolve(tenant="other")
    assert len(store.exchange("w1", [other], slots=0, lease_ms=LEASE_MS).fenced) == 1


def test_a_renewed_lease_runs_from_now(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store)
    job = worker.claim_one()
    clock.advance(LEASE_MS - 1)
    beat = store.renew("w1", held(job), lease_ms=LEASE_MS)
    assert (beat.lost, beat.cancelled) == (frozenset(), frozenset())
    renewed = store.job("default", job.id)
    assert (renewed.lease_until, renewed.renewed) == (clock.now + LEASE_MS, clock.now)
    assert (renewed.attempt, renewed.attempt_started, renewed.assistant_id) == (
        1,
        job.attempt_started,
        job.assistant_id,
    )
    clock.advance(LEASE_MS - 1)
    assert store.reconcile(limit=10).lost == ()


def test_a_worker_learns_which_of_its_jobs_are_lost_and_which_cancelled(store: Store, clock: FakeClock) -> None:
    worker = Worker(store, "w1")
    for name in ("kept", "gone", "cancelled", "deleted", "done"):
        admit(store, f"ses_{name}")
    jobs = {each.job.session_id.removeprefix("ses_"): each.job for each in worker.claim()}
    store.renew("w1", held(*(job for name, job in jobs.items() if name != "gone")), lease_ms=2 * LEASE_MS)
    clock.advance(LEASE_MS)
    store.reconcile(limit=10)
    store.cancel_job("default", jobs["cancelled"].id)
    store.delete_session("default", "ses_deleted")
    worker.finish(jobs["done"])
    for beat in (
        store.look("w1", held(*jobs.values())),
        store.renew("w1", held(*jobs.values()), lease_ms=LEASE_MS),
    ):
        assert beat.lost == {jobs[name].id for name in ("gone", "deleted", "done")}
        assert beat.cancelled == {jobs["cancelled"].id}


def test_looking_renews_nothing(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store)
    job = worker.claim_one()
    clock.advance(5)
    store.look("w1", held(job))
    assert store.job("default", job.id) == job


@pytest.mark.parametrize("ask", ["look", "renew"])
def test_an_attempt_of_another_worker_or_number_is_lost(store: Store, worker: Worker, ask: str) -> None:
    admit(store)
    job = worker.claim_one()

    def beat(name: str, holding: list[tuple[str, str, int]]) -> frozenset[str]:
        if ask == "look":
            return store.look(name, holding).lost
        return store.renew(name, holding, lease_ms=9 * LEASE_MS).lost

    assert beat("w2", held(job)) == {job.id}
    assert beat("w1", held(job.evolve(attempt=2))) == {job.id}
    assert beat("w1", held(job.evolve(tenant="other"))) == {job.id}
    assert store.job("default", job.id) == job
    assert beat("w1", held(job)) == frozenset()


def test_a_worker_that_holds_nothing_may_ask(store: Store) -> None:
    assert store.look("w1", ()).lost == frozenset()
    assert store.renew("w1", (), lease_ms=LEASE_MS).lost == frozenset()


def test_hundreds_of_leases_are_renewed_in_one_call(store: Store, worker: Worker, clock: FakeClock) -> None:
    for number in range(600):
        admit(store, f"ses_{number}")
    jobs = [each.job for _ in range(3) for each in worker.claim(600)]
    assert len(jobs) == 600
    clock.advance(LEASE_MS - 1)
    assert store.renew("w1", held(*jobs), lease_ms=LEASE_MS).lost == frozenset()
    clock.advance(LEASE_MS - 1)
    assert store.reconcile(limit=10).lost == ()
    assert store.look("w1", held(*jobs)).lost == frozenset()


def test_a_duty_is_one_workers_at_a_time(store: Store, clock: FakeClock) -> None:
    assert store.hold("reconcile", "w1", lease_ms=10)
    assert store.hold("reconcile", "w1", lease_ms=10)
    assert not store.hold("reconcile", "w2", lease_ms=10)
    assert store.hold("other", "w2", lease_ms=10)
    clock.advance(9)
    assert not store.hold("reconcile", "w2", lease_ms=10)
    clock.advance(1)
    assert store.hold("reconcile", "w2", lease_ms=10)
    assert not store.hold("reconcile", "w1", lease_ms=10)


def test_a_duty_that_is_kept_runs_from_now(store: Store, clock: FakeClock) -> None:
    store.hold("reconcile", "w1", lease_ms=10)
    clock.advance(9)
    store.hold("reconcile", "w1", lease_ms=10)
    clock.advance(9)
    assert not store.hold("reconcile", "w2", lease_ms=10)


def test_a_job_handed_back_is_anybodys_at_once(store: Store, worker: Worker) -> None:
    job = admit_job(store)
    worker.finish(worker.claim_one(), Outcome.RETURNED)
    again = Worker(store, "w2").claim_one()
    assert (again.id, again.attempt, again.charges, again.worker) == (job.id, 2, 0, "w2")
