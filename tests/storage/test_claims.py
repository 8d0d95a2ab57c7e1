from domain.jobs import Outcome, State
from storage.base import Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job, create, finished, texts
from tests.support.clocks import FakeClock


def lost(store: Store, clock: FakeClock, *session_ids: str, times: int) -> set[str]:
    """The IDs of queued jobs that lost their workers so many times."""
    jobs = {admit_job(store, session_id, max_attempts=9).id for session_id in session_ids}
    for _ in range(times):
        assert {each.job.id for each in Worker(store).claim()} == jobs
        clock.advance(LEASE_MS)
        store.reconcile(limit=100)
    return jobs


def test_a_claim_gives_the_job_its_prompt_and_its_session(store: Store, worker: Worker, clock: FakeClock) -> None:
    create(store, agent="plan", directory="/srv", permission=[{"action": "ask"}])
    job = admit_job(store, text="hello")
    (claimed,) = worker.claim()
    assert (claimed.job.id, claimed.job.state, claimed.job.attempt) == (job.id, State.RUNNING, 1)
    assert (claimed.job.worker, claimed.job.lease_until) == ("w1", clock.now + LEASE_MS)
    assert claimed.job.assistant_id
    assert texts([claimed.prompt]) == ["hello"]
    assert (claimed.session.agent, claimed.session.directory) == ("plan", "/srv")
    assert list(claimed.session.permission or ()) == [{"action": "ask"}]
    assert store.job("default", job.id) == claimed.job


def test_no_more_is_claimed_than_there_are_slots(store: Store, worker: Worker) -> None:
    for number in range(5):
        admit(store, f"ses_{number}")
    assert worker.claim(0) == []
    assert [len(worker.claim(2)) for _ in range(4)] == [2, 2, 1, 0]


def test_a_job_is_given_to_one_worker(store: Store) -> None:
    for number in range(6):
        admit(store, f"ses_{number}")
    one, other = Worker(store, "w1").claim(4), Worker(store, "w2").claim(4)
    assert (len(one), len(other)) == (4, 2)
    assert {each.job.id for each in one}.isdisjoint({each.job.id for each in other})


def test_the_most_urgent_go_first_then_those_that_are_ready_longest(store: Store, clock: FakeClock) -> None:
    order = []
    for name, priority in (("a", 5), ("b", 0), ("c", 9), ("d", 5), ("e", 9)):
        order.append((-priority, admit_job(store, f"ses_{name}", priority=priority).id))
        clock.advance(1)
    claimed = Worker(store).claim()
    assert [each.job.id for each in claimed] == [job_id for _, job_id in sorted(order, key=lambda each: each[0])]


def test_slots_go_to_the_most_urgent_even_one_by_one(store: Store, worker: Worker, clock: FakeClock) -> None:
    jobs = {priority: admit_job(store, f"ses_{priority}", priority=priority).id for priority in range(10)}
    assert worker.run() == [jobs[priority] for priority in range(9, -1, -1)]


def test_urgent_heads_that_wait_do_not_stand_before_others_that_are_ready(
    store: Store, worker: Worker, clock: FakeClock
) -> None:
    for number in range(5):
        admit(store, f"ses_late_{number}", priority=9, not_before=clock.now + 1_000)
    ready = admit_job(store, "ses_ready", priority=0)
    assert [each.job.id for each in worker.claim(1)] == [ready.id]


def test_a_head_is_ready_from_its_time_on(store: Store, worker: Worker, clock: FakeClock) -> None:
    job = admit_job(store, not_before=clock.now + 10)
    clock.advance(9)
    assert worker.claim() == []
    clock.advance(1)
    assert [each.job.id for each in worker.claim()] == [job.id]


def test_an_exchange_tells_when_the_next_head_becomes_ready(store: Store, clock: FakeClock) -> None:
    start = clock.now
    admit(store, "ses_a", not_before=start + 50)
    admit(store, "ses_b", not_before=start + 20, priority=0)
    told = store.exchange("w1", (), slots=5, lease_ms=LEASE_MS)
    assert (told.claimed, told.next_ready, told.now) == ((), start + 20, start)
    clock.advance(20)
    told = store.exchange("w1", (), slots=5, lease_ms=LEASE_MS)
    assert (len(told.claimed), told.next_ready) == (1, start + 50)
    clock.advance(30)
    assert store.exchange("w1", (), slots=5, lease_ms=LEASE_MS).next_ready is None


def test_one_exchange_takes_what_is_done_and_gives_what_is_next(store: Store, worker: Worker) -> None:
    admit(store, "ses_a")
    second = admit_job(store, "ses_a")
    admit(store, "ses_b")
    first_a, first_b = (each.job for each in worker.claim())
    told = store.exchange("w1", [finished(first_a), finished(first_b, Outcome.FAILED)], slots=5, lease_ms=LEASE_MS)
    assert [(job.id, job.state) for job in told.taken] == [
        (first_a.id, State.SUCCEEDED),
        (first_b.id, State.FAILED),
    ]
    assert (told.fenced, told.refused) == ((), ())
    assert [each.job.id for each in told.claimed] == [second.id]


def test_one_suspect_at_a_time_is_given_to_a_worker(store: Store, clock: FakeClock) -> None:
    suspects = lost(store, clock, "ses_1", "ses_2", "ses_3", times=2)
    good = admit_job(store, "ses_good")
    told = [each.job.id for each in Worker(store, "w1").claim()]
    assert good.id in told
    assert len(suspects.intersection(told)) == 1
    assert Worker(store, "w2").claim(suspects=0) == []
    assert len(Worker(store, "w2").claim(suspects=1)) == 1
    assert len(Worker(store, "w3").claim(suspects=5)) == 1


def test_a_job_that_was_lost_once_is_no_suspect(store: Store, clock: FakeClock) -> None:
    jobs = lost(store, clock, "ses_1", "ses_2", "ses_3", times=1)
    assert {each.job.id for each in Worker(store).claim(suspects=0)} == jobs


def test_an_urgent_suspect_takes_its_turn_before_those_less_urgent(store: Store, clock: FakeClock) -> None:
    (suspect,) = lost(store, clock, "ses_suspect", times=2)
    admit(store, "ses_suspect", priority=9)
    good = admit_job(store, "ses_good", priority=8)
    assert [each.job.id for each in Worker(store).claim(1)] == [suspect]
    assert [each.job.id for each in Worker(store).claim(1)] == [good.id]


def test_many_ends_are_taken_in_one_call(store: Store, worker: Worker) -> None:
    for number in range(600):
        admit(store, f"ses_{number}")
    claimed = [each.job for _ in range(3) for each in worker.claim(600)]
    assert len(claimed) == 600
    told = store.exchange("w1", [finished(job) for job in claimed], slots=0, lease_ms=LEASE_MS)
    assert {job.id for job in told.taken} == {job.id for job in claimed}
    assert store.busy_sessions("default") == {}
