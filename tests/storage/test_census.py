import pytest

from domain.jobs import Outcome
from storage.base import Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job
from tests.support.clocks import FakeClock
from tests.support.keepers import Keeper


def test_an_empty_store_has_nothing_open(store: Store, keeper: Keeper) -> None:
    (counted,) = store.census().values()
    assert (counted.running, counted.ready, counted.later, counted.behind) == (0, 0, 0, 0)
    assert (counted.oldest_ready, counted.oldest_ready_ms, counted.longest) == (None, 0, ())
    assert list(store.census()) == ["ephemeral" if keeper.is_ephemeral else "durable"]


def test_open_jobs_of_all_tenants_are_counted_by_what_they_wait_for(
    store: Store, worker: Worker, clock: FakeClock
) -> None:
    admit(store, "ses_running")
    worker.claim_one()
    admit(store, "ses_running", "behind it")
    clock.advance(5)
    oldest = admit_job(store, "ses_ready", tenant="other")
    clock.advance(10)
    admit(store, "ses_ready", "behind it", tenant="other")
    admit(store, "ses_ready_too", priority=9)
    admit(store, "ses_later", not_before=clock.now + 60_000)
    (counted,) = store.census().values()
    assert (counted.running, counted.ready, counted.later, counted.behind) == (1, 2, 1, 2)
    assert counted.queued == 5
    assert (counted.oldest_ready, counted.oldest_ready_ms, counted.now) == (clock.now - 10, 10, clock.now)
    assert [head.session_id for head in counted.longest] == ["ses_ready", "ses_ready_too"]
    first = counted.longest[0]
    assert (first.tenant, first.job_id, first.rank) == ("other", oldest.id, oldest.priority)


def test_what_has_ended_is_not_counted(store: Store, worker: Worker) -> None:
    for outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
        admit(store)
        worker.finish(worker.claim_one(), outcome)
    store.cancel_job("default", admit_job(store).id)
    (counted,) = store.census().values()
    assert (counted.running, counted.queued) == (0, 0)


def test_only_a_few_of_those_that_wait_longest_are_named(store: Store, clock: FakeClock) -> None:
    for number in range(8):
        admit(store, f"ses_{number}", priority=number)
        clock.advance(1)
    (counted,) = store.census().values()
    assert [head.session_id for head in counted.longest] == [f"ses_{number}" for number in range(5)]


def test_the_workers_that_hold_leases_are_known(store: Store) -> None:
    assert store.holders() == frozenset()
    for name in ("ses_a", "ses_b"):
        admit(store, name)
    one, two = Worker(store, "one"), Worker(store, "two")
    first = one.claim_one()
    two.claim_one()
    assert store.holders() == {"one", "two"}
    one.finish(first)
    assert store.holders() == {"two"}


def test_the_leases_of_a_worker_that_is_gone_are_lost_at_once_and_no_others(store: Store) -> None:
    for name in "abc":
        admit(store, f"ses_{name}")
    gone, other = Worker(store, "gone"), Worker(store, "other")
    lost = {gone.claim_one().id, gone.claim_one().id}
    kept = other.claim_one()
    assert store.end_leases("gone") == 2
    mended = store.reconcile(limit=10)
    assert {before.id for before, _ in mended.lost} == lost
    assert [after.charges for _, after in mended.lost] == [0, 0]
    assert store.job("default", kept.id) == kept
    assert store.end_leases("gone") == 0


def test_a_worker_that_lives_after_all_keeps_what_it_renews_and_is_fenced_from_the_rest(store: Store) -> None:
    for name in ("ses_a", "ses_b"):
        admit(store, name)
    alive = Worker(store, "alive")
    renewed, unlucky = alive.claim_one(), alive.claim_one()
    assert store.end_leases("alive") == 2
    store.renew("alive", [(renewed.tenant, renewed.id, renewed.attempt)], lease_ms=LEASE_MS)
    assert [before.id for before, _ in store.reconcile(limit=10).lost] == [unlucky.id]
    assert len(alive.finish(unlucky).fenced) == 1
    assert len(alive.finish(renewed).taken) == 1


@pytest.mark.parametrize("early", [True, False])
def test_who_is_charged_for_a_worker_that_is_gone_is_decided_as_ever(
    store: Store, clock: FakeClock, *, early: bool
) -> None:
    admit(store, max_attempts=3)
    for _ in range(2):
        Worker(store, "gone").claim_one()
        store.end_leases("gone")
        store.reconcile(limit=10)
    suspect = Worker(store, "gone").claim_one()
    assert suspect.is_suspect
    if not early:
        clock.advance(2_000)
        store.renew("gone", [(suspect.tenant, suspect.id, suspect.attempt)], lease_ms=LEASE_MS)
    store.end_leases("gone")
    ((_, after),) = store.reconcile(limit=10).lost
    assert after.charges == (1 if early else 0)
