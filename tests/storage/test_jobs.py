from typing import Any

import pytest

from domain.jobs import Outcome, State
from storage.base import JobQuery, Store
from tests.storage.actors import Worker, admit, admit_job
from tests.support.clocks import FakeClock


def listed(store: Store, **query: Any) -> list[str]:
    """The IDs of the jobs that a query finds, in order."""
    return [job.id for job in store.jobs("default", JobQuery(**query))]


def test_jobs_are_listed_the_newest_first(store: Store, clock: FakeClock) -> None:
    made = []
    for name in "abc":
        made.append(admit_job(store, f"ses_{name}").id)
        clock.advance(1)
    assert listed(store) == made[::-1]
    assert listed(store, limit=2) == made[:0:-1]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_of_jobs_have_no_gap_or_repeat_even_at_one_time(store: Store, clock: FakeClock, limit: int) -> None:
    for number in range(7):
        admit(store, f"ses_{number % 3}")
        clock.advance(number % 2)
    everything = listed(store)
    assert len(everything) == 7
    seen: list[str] = []
    after = None
    while page := store.jobs("default", JobQuery(limit=limit, after=after)):
        seen += [job.id for job in page]
        after = (page[-1].created, page[-1].id)
    assert seen == everything


def test_jobs_can_be_asked_for_by_state_session_and_batch(store: Store, worker: Worker) -> None:
    done = admit_job(store, "ses_a", batch_id="batch_1")
    worker.run()
    failed = admit_job(store, "ses_a")
    worker.run(Outcome.FAILED)
    running = admit_job(store, "ses_b", batch_id="batch_1")
    worker.claim()
    queued = admit_job(store, "ses_c")
    assert set(listed(store, states=[State.SUCCEEDED, State.RUNNING])) == {done.id, running.id}
    assert set(listed(store, states=[State.QUEUED])) == {queued.id}
    assert set(listed(store, session_id="ses_a")) == {done.id, failed.id}
    assert set(listed(store, batch_id="batch_1")) == {done.id, running.id}
    assert listed(store, session_id="ses_a", states=[State.FAILED]) == [failed.id]
    assert listed(store, session_id="ses_x") == []


def test_jobs_can_be_fetched_together_by_name(store: Store) -> None:
    jobs = [admit_job(store, f"ses_{number}") for number in range(3)]
    names = [*(("default", job.id) for job in jobs[:2]), ("default", "job_nobody"), ("other", jobs[2].id)]
    assert store.jobs_by_id(names) == {job.id: job for job in jobs[:2]}
    assert store.jobs_by_id([]) == {}


def test_a_thousand_names_are_looked_up_at_once(store: Store) -> None:
    jobs = [admit_job(store, f"ses_{number % 40}") for number in range(520)]
    found = store.jobs_by_id([("default", job.id) for job in jobs])
    assert found.keys() == {job.id for job in jobs}
