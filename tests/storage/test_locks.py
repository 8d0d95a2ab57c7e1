"""What others hold, and what the database will not take, stops nobody else."""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from domain.jobs import AttemptEnd, Failure, Job, Outcome, State
from storage.base import Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job, finished, held
from tests.support.clocks import FakeClock
from tests.support.keepers import Keeper
from tests.support.waiting import eventually

postgres_only = pytest.mark.parametrize("keeper", ["postgres"], indirect=True)
databases_only = pytest.mark.parametrize("keeper", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def outsider(keeper: Keeper) -> Iterator[sa.Connection]:
    """A connection of a process that may freeze in its transaction."""
    assert keeper.url is not None
    engine = sa.create_engine(keeper.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection
        connection.rollback()
    engine.dispose()


def freeze(outsider: sa.Connection, session_id: str) -> None:
    """Hold a session's lock."""
    outsider.execute(sa.text("SELECT 1 FROM session WHERE id = :id FOR UPDATE"), {"id": session_id})


def hold_job(connection: sa.Connection, job: Job) -> bool:
    """Hold a job's row, as a renewal of its lease does; False if somebody else holds it."""
    statement = sa.text("SELECT 1 FROM job WHERE id = :id FOR UPDATE SKIP LOCKED")
    return connection.execute(statement, {"id": job.id}).first() is not None


@contextlib.contextmanager
def blocked(outsider: sa.Connection, call: Callable[[], object]) -> Iterator[None]:
    """Make a call that has to wait for the outsider; the block runs while it waits, and has to let it go."""
    waiting = sa.text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")

    def waits() -> bool:
        with outsider.engine.connect() as connection:
            return connection.execute(waiting).first() is not None

    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(call)
        eventually(waits)
        yield
        told.result(10)


@postgres_only
def test_a_claim_passes_sessions_that_others_hold(store: Store, worker: Worker, outsider: sa.Connection) -> None:
    frozen, free = admit_job(store, "ses_held", priority=9), admit_job(store, "ses_free")
    freeze(outsider, "ses_held")
    assert [each.job.id for each in worker.claim()] == [free.id]
    outsider.rollback()
    assert [each.job.id for each in worker.claim()] == [frozen.id]


@postgres_only
def test_a_held_session_that_is_first_does_not_cost_others_their_slots(
    store: Store, worker: Worker, outsider: sa.Connection
) -> None:
    admit(store, "ses_held", priority=9)
    free = {admit_job(store, f"ses_{number}").id for number in range(3)}
    freeze(outsider, "ses_held")
    claimed = [each.job.id for _ in range(4) for each in worker.claim(1)]
    assert set(claimed) == free


@postgres_only
def test_a_claim_passes_heads_that_others_are_claiming(store: Store, worker: Worker, outsider: sa.Connection) -> None:
    held, free = admit_job(store, "ses_held", priority=9), admit_job(store, "ses_free")
    outsider.execute(sa.text("SELECT 1 FROM job WHERE id = :id FOR UPDATE"), {"id": held.id})
    assert [each.job.id for each in worker.claim()] == [free.id]
    outsider.rollback()
    assert [each.job.id for each in worker.claim()] == [held.id]


@postgres_only
def test_mending_passes_sessions_that_others_hold(
    store: Store, worker: Worker, clock: FakeClock, outsider: sa.Connection
) -> None:
    lost = [admit_job(store, name) for name in ("ses_held", "ses_free")]
    worker.claim()
    late = [admit_job(store, f"{name}_late", expires_at=clock.now + 1) for name in ("ses_held", "ses_free")]
    for name in ("ses_held", "ses_held_late"):
        freeze(outsider, name)
    clock.advance(LEASE_MS)
    mended = store.reconcile(limit=10)
    assert [before.id for before, _ in mended.lost] == [lost[1].id]
    assert [job.id for job in mended.ended] == [late[1].id]
    outsider.rollback()
    mended = store.reconcile(limit=10)
    assert [before.id for before, _ in mended.lost] == [lost[0].id]
    assert [job.id for job in mended.ended] == [late[0].id]


@postgres_only
def test_a_lease_that_is_just_being_renewed_is_not_lost(
    store: Store, worker: Worker, clock: FakeClock, outsider: sa.Connection
) -> None:
    admit(store)
    job = worker.claim_one()
    clock.advance(LEASE_MS)
    assert hold_job(outsider, job)
    assert store.reconcile(limit=10).lost == ()
    outsider.rollback()
    assert [before.id for before, _ in store.reconcile(limit=10).lost] == [job.id]


@postgres_only
@pytest.mark.parametrize("request_to_end", ["cancel", "abort", "interrupt"])
def test_a_request_to_cancel_takes_back_no_renewal_that_was_under_way(
    store: Store, worker: Worker, outsider: sa.Connection, request_to_end: str
) -> None:
    admit(store)
    job = worker.claim_one()
    calls: dict[str, Callable[[], object]] = {
        "cancel": lambda: store.cancel_job("default", job.id),
        "abort": lambda: store.abort_session("default", "ses_a"),
        "interrupt": lambda: admit(store, when_busy="interrupt"),
    }
    outsider.execute(sa.text("UPDATE job SET lease_until = lease_until + 7, renewed = renewed + 7"))
    with blocked(outsider, calls[request_to_end]):
        outsider.commit()
    asked = store.job("default", job.id)
    assert asked.cancel_requested is not None
    assert (asked.lease_until, asked.renewed) == ((job.lease_until or 0) + 7, (job.renewed or 0) + 7)


@postgres_only
@pytest.mark.parametrize("command", ["renew", "finish"])
def test_whoever_writes_many_jobs_takes_them_in_order_so_that_none_waits_in_a_circle(
    store: Store, worker: Worker, outsider: sa.Connection, command: str
) -> None:
    low, high = (admit_job(store, name) for name in ("ses_b", "ses_a"))
    assert low.id < high.id
    jobs = {each.job.id: each.job for each in worker.claim()}
    running = [jobs[high.id], jobs[low.id]]
    calls: dict[str, Callable[[], object]] = {
        "renew": lambda: store.renew("w1", held(*running), lease_ms=LEASE_MS),
        "finish": lambda: store.exchange("w1", [finished(job) for job in running], slots=0, lease_ms=LEASE_MS),
    }
    assert hold_job(outsider, low)
    with blocked(outsider, calls[command]):
        assert hold_job(outsider, high)
        outsider.rollback()


@databases_only
@pytest.mark.parametrize("poison", [object(), "\ud800"], ids=["no JSON", "half a character"])
def test_an_end_that_cannot_be_kept_is_split_out_and_its_neighbours_are_taken(
    store: Store, worker: Worker, poison: object
) -> None:
    for number in range(5):
        admit(store, f"ses_{number}")
    more = admit_job(store, "ses_more")
    jobs = sorted((each.job for each in worker.claim(5)), key=lambda job: job.session_id)
    ends = [finished(job) for job in jobs]
    ends[2] = finished(jobs[2]).evolve(end=AttemptEnd(Outcome.SUCCEEDED, parts=[{"type": "text", "text": poison}]))
    told = store.exchange("w1", ends, slots=3, lease_ms=LEASE_MS)
    assert {job.id for job in told.taken} == {job.id for job in jobs if job is not jobs[2]}
    assert [end.job_id for end, _ in told.refused] == [jobs[2].id]
    assert [each.job.id for each in told.claimed] == [more.id]
    assert store.job("default", jobs[2].id) == jobs[2]
    failure = Failure("internal_error", "the answer could not be kept")
    store.exchange("w1", [finished(jobs[2], Outcome.FAILED, failure=failure)], slots=0, lease_ms=LEASE_MS)
    assert store.job("default", jobs[2].id).state is State.FAILED


@databases_only
def test_a_head_that_lost_its_stamp_is_stamped_again(store: Store, worker: Worker, outsider: sa.Connection) -> None:
    job = admit_job(store)
    admit(store, "ses_b")
    outsider.execute(sa.text("UPDATE job SET ready_at = NULL WHERE id = :id"), {"id": job.id})
    outsider.commit()
    assert job.id not in [each.job.id for each in worker.claim()]
    mended = store.reconcile(limit=10)
    assert (mended.stamped, mended.woke) == (1, True)
    assert worker.run() == [job.id]
    assert store.reconcile(limit=10).stamped == 0
