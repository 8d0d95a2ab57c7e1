from domain.jobs import State
from storage.base import Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job, held
from tests.support.clocks import FakeClock


def test_there_is_nothing_to_mend_where_nothing_is_broken(store: Store, worker: Worker, clock: FakeClock) -> None:
    admit(store, "ses_a", expires_at=clock.now + 10)
    admit(store, "ses_b")
    worker.claim()
    mended = store.reconcile(limit=10)
    assert (mended.lost, mended.ended, mended.stamped, mended.woke) == ((), (), 0, False)


def test_only_the_leases_that_ran_out_are_ended(store: Store, clock: FakeClock) -> None:
    for name in "abc":
        admit(store, f"ses_{name}")
    jobs = [each.job for each in Worker(store).claim()]
    store.renew("w1", held(jobs[1]), lease_ms=2 * LEASE_MS)
    clock.advance(LEASE_MS)
    mended = store.reconcile(limit=10)
    assert {before.id for before, _ in mended.lost} == {jobs[0].id, jobs[2].id}
    assert store.job("default", jobs[1].id).state is State.RUNNING
    assert not store.reconcile(limit=10).woke


def test_no_more_is_mended_in_one_round_than_asked_for(store: Store, clock: FakeClock) -> None:
    for number in range(7):
        admit(store, f"ses_lost_{number}")
    Worker(store).claim()
    for number in range(5):
        admit(store, f"ses_late_{number}", expires_at=clock.now + 1)
    clock.advance(LEASE_MS)
    rounds = [store.reconcile(limit=3) for _ in range(4)]
    assert [len(mended.lost) for mended in rounds] == [3, 3, 1, 0]
    assert [len(mended.ended) for mended in rounds] == [3, 2, 0, 0]


def test_the_longest_lost_are_mended_first(store: Store, clock: FakeClock) -> None:
    order = []
    for name in "cab":
        admit(store, f"ses_{name}")
        order.append(Worker(store).claim_one().id)
        clock.advance(1)
    clock.advance(LEASE_MS)
    assert [store.reconcile(limit=1).lost[0][0].id for _ in order] == order


def test_a_session_whose_worker_was_lost_goes_on_in_order(store: Store, clock: FakeClock) -> None:
    jobs = [admit_job(store) for _ in range(3)]
    Worker(store, "lost").claim()
    clock.advance(LEASE_MS)
    store.reconcile(limit=10)
    assert Worker(store, "next").run() == [job.id for job in jobs]
