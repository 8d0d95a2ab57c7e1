"""Both keepers as one store: names say where things are, and neither keeper starves or stops the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import InvalidRequest, JobNotFound, SessionDiffers, SessionNotFound, StoreUnavailable
from domain.jobs import Outcome, State
from domain.sessions import Creation
from storage import redis_clients
from storage.base import JobQuery, SessionQuery
from storage.ephemeral.store import EphemeralStore
from storage.routing import RoutingStore
from storage.sql import open_store
from storage.sql.store import SqlStore
from tests.storage.actors import Worker, admit, admit_job, create, finished, held, texts
from tests.support import keepers
from tests.support.clocks import FakeClock
from tests.support.keepers import settings_of
from tests.support.valkey import ValkeyServer


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def durable(sqlite_template: Path, tmp_path: Path, clock: FakeClock) -> SqlStore:
    return open_store(settings_of(keepers.sqlite_copy(sqlite_template, tmp_path)), clock=clock, jitter=lambda: 0.5)


@pytest.fixture
def both(durable: SqlStore, valkey: ValkeyServer, clock: FakeClock) -> Iterator[RoutingStore]:
    client = redis_clients.sync_client(valkey.url, connect_timeout_s=0.5, socket_timeout_s=0.5)
    store = RoutingStore(durable, EphemeralStore(client, clock=clock, jitter=lambda: 0.5))
    yield store
    store.close()


@pytest.fixture
def worker(both: RoutingStore) -> Worker:
    return Worker(both)


def test_a_name_says_where_a_session_lives(both: RoutingStore, durable: SqlStore) -> None:
    create(both, "ses_tmp_a")
    create(both, "ses_a")
    assert [each.id for each in both.sessions("default", SessionQuery())] == ["ses_a"]
    assert [each.id for each in both.sessions("default", SessionQuery(ephemeral=True))] == ["ses_tmp_a"]
    with pytest.raises(SessionNotFound):
        durable.session("default", "ses_tmp_a")


def test_a_jobs_name_says_where_it_is_kept(both: RoutingStore, worker: Worker) -> None:
    passing, kept = admit_job(both, "ses_tmp_a"), admit_job(both, "ses_a")
    assert passing.id.startswith("job_tmp_")
    assert not kept.id.startswith("job_tmp_")
    assert both.jobs_by_id([("default", passing.id), ("default", kept.id)]).keys() == {passing.id, kept.id}
    assert [job.id for job in both.jobs("default", JobQuery())] == [kept.id]
    assert [job.id for job in both.jobs("default", JobQuery(ephemeral=True))] == [passing.id]
    assert [job.id for job in both.jobs("default", JobQuery(session_id="ses_tmp_a"))] == [passing.id]
    assert both.cancel_job("default", passing.id).ended[0].state is State.CANCELLED
    assert both.busy_sessions("default").keys() == {"ses_a"}
    assert worker.run() == [kept.id]


def test_prompts_of_both_kinds_are_claimed_in_one_order_of_rank(both: RoutingStore, worker: Worker) -> None:
    by_rank = [
        admit_job(both, f"{kind}{rank}", priority=rank).id for rank in (9, 7, 5, 3) for kind in ("ses_tmp_", "ses_")
    ]
    taken = []
    while claimed := worker.claim(3):
        taken += [{each.job.id for each in claimed}]
        worker.store.exchange("w1", [finished(each.job) for each in claimed], slots=0, lease_ms=1000)
    assert taken == [set(by_rank[:3]), set(by_rank[3:6]), set(by_rank[6:])]


def test_neither_kind_starves_the_other(both: RoutingStore, worker: Worker, clock: FakeClock) -> None:
    for number in range(20):
        admit(both, f"ses_{number}")
        clock.advance(1)
        admit(both, f"ses_tmp_{number}")
        clock.advance(1)
    kinds = [each.job.id.startswith("job_tmp_") for each in worker.claim(10)]
    assert kinds.count(True) == 5


def test_the_ends_of_both_kinds_are_taken_together(both: RoutingStore, worker: Worker) -> None:
    for name in ("ses_a", "ses_tmp_a"):
        admit(both, name, "hi")
    claimed = worker.claim()
    told = both.exchange("w1", [finished(each.job) for each in claimed], slots=4, lease_ms=1000)
    assert {job.state for job in told.taken} == {State.SUCCEEDED}
    assert len(told.taken) == 2
    for name in ("ses_a", "ses_tmp_a"):
        assert texts(both.messages("default", name)) == ["hi", "done"]


def test_an_ephemeral_session_is_kept_by_forking_it_to_a_durable_name(both: RoutingStore, worker: Worker) -> None:
    admit(both, "ses_tmp_a", "hello")
    worker.run()
    given = {"fork": {"source": "ses_tmp_a", "messageID": None}}
    kept, created = both.fork_session("default", "ses_tmp_a", Creation("ses_kept", given=given), before=None)
    assert created
    both.delete_session("default", "ses_tmp_a")
    assert texts(both.messages("default", "ses_kept")) == ["hello", "answer to hello"]
    again = both.fork_session("default", "ses_tmp_a", Creation("ses_kept", given=given), before=None)
    assert again == (kept, False)
    with pytest.raises(SessionDiffers):
        both.fork_session("default", "ses_other", Creation("ses_kept", given={"fork": {"source": "x"}}), before=None)


def test_without_redis_durable_work_goes_on_and_ephemeral_work_waits(
    both: RoutingStore, worker: Worker, valkey: ValkeyServer
) -> None:
    admit(both, "ses_tmp_a")
    passing = worker.claim_one()
    valkey.kill()
    durable = admit_job(both, "ses_a")
    with pytest.raises(StoreUnavailable):
        admit(both, "ses_tmp_b")
    told = both.exchange("w1", [finished(passing)], slots=4, lease_ms=1000)
    assert [each.job_id for each in told.untaken] == [passing.id]
    assert [each.job.id for each in told.claimed] == [durable.id]
    beat = both.renew("w1", held(passing, told.claimed[0].job), lease_ms=1000)
    assert not beat.lost | beat.cancelled
    assert both.exchange("w1", [finished(told.claimed[0].job)], slots=0, lease_ms=1000).taken[0].id == durable.id
    assert both.reconcile(limit=10).lost == ()
    both.ready()


def test_after_a_flush_ephemeral_sessions_are_unknown_and_durable_ones_go_on(
    both: RoutingStore, worker: Worker, valkey: ValkeyServer
) -> None:
    passing, kept = admit_job(both, "ses_tmp_a"), admit_job(both, "ses_a")
    claimed = worker.claim()
    valkey.flush()
    with pytest.raises(SessionNotFound):
        both.session("default", "ses_tmp_a")
    with pytest.raises(JobNotFound):
        both.job("default", passing.id)
    told = both.exchange("w1", [finished(each.job) for each in claimed], slots=0, lease_ms=1000)
    assert [job.id for job in told.taken] == [kept.id]
    assert [each.job_id for each in told.fenced] == [passing.id]


def test_a_suspect_of_either_kind_is_alone_among_suspects(both: RoutingStore, worker: Worker, clock: FakeClock) -> None:
    for name in ("ses_a", "ses_tmp_a"):
        admit(both, name)
    for _ in range(2):
        assert len(worker.claim(10)) == 2
        clock.advance(31_000)
        assert len(both.reconcile(limit=10).lost) == 2
    assert len(worker.claim(10)) == 1
    assert worker.claim(10, suspects=0) == []


def test_a_server_without_redis_refuses_ephemeral_names(durable: SqlStore) -> None:
    store = RoutingStore(durable, None)
    with pytest.raises(InvalidRequest, match="need a Redis"):
        admit(store, "ses_tmp_a")
    job = admit_job(store, "ses_a")
    assert Worker(store).run(Outcome.SUCCEEDED) == [job.id]
    store.close()
