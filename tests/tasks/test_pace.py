"""Rounds are small while somebody more urgent than the rest comes, and large else."""

from domain.jobs import AttemptEnd, Claimed, Job, Outcome
from tasks.engine.pace import BRISK_S, LARGE, SMALL, Pace
from tasks.engine.slots import Attempt, Slots
from tests.storage.actors import Worker, admit_job
from tests.support.memory_store import MemoryStore


def claimed_jobs(*priorities: int) -> list[Claimed]:
    store = MemoryStore()
    for number, priority in enumerate(priorities):
        admit_job(store, f"ses_{number}", priority=priority)
    return Worker(store).claim()


def jobs_of(claims: list[Claimed]) -> list[Job]:
    return [each.job for each in claims]


def test_rounds_are_large_while_all_are_alike() -> None:
    pace = Pace(lambda: 100.0)
    pace.saw([])
    pace.saw(jobs_of(claimed_jobs(5, 5, 5)))
    assert pace.most() == LARGE


def test_one_that_is_more_urgent_makes_them_small_for_a_while() -> None:
    now = [100.0]
    pace = Pace(lambda: now[0])
    pace.saw(jobs_of(claimed_jobs(5, 9, 5)))
    assert pace.most() == SMALL
    now[0] += BRISK_S - 0.1
    assert pace.most() == SMALL
    now[0] += 0.2
    assert pace.most() == LARGE


def test_what_is_urgent_is_handed_in_first_where_not_all_is() -> None:
    slots = Slots(10)
    attempts = [Attempt(each) for each in sorted(claimed_jobs(5, 5, 9, 5), key=lambda each: each.job.session_id)]
    slots.add(attempts)
    for attempt in attempts:
        slots.end(attempt, AttemptEnd(Outcome.SUCCEEDED, ()))
    first = slots.take(2)
    rest = slots.take(10)
    assert [attempt.job.session_id for attempt in first] == ["ses_2", "ses_0"]
    assert [attempt.job.session_id for attempt in rest] == ["ses_1", "ses_3"]
