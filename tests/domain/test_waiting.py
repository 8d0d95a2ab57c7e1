"""What a queued job waits for."""

import pytest

from domain.jobs import Job, State
from domain.waiting import Waiting, waiting

NOW = 1_000


def a_job(name: str = "job_1", **fields: object) -> Job:
    made = Job("default", name, "ses_a", 1, 1, "msg_1", "echo/echo", "build", created=0)
    return made.evolve(**fields)


@pytest.mark.parametrize("state", [state for state in State if state is not State.QUEUED])
def test_only_a_queued_job_waits(state: State) -> None:
    assert waiting(a_job(state=state), None, NOW) is None


def test_a_head_waits_for_its_time_and_then_for_a_worker() -> None:
    assert waiting(a_job(ready_at=NOW + 1), None, NOW) == Waiting("time", until=NOW + 1)
    assert waiting(a_job(ready_at=NOW), None, NOW) == Waiting("worker")


def test_a_job_behind_others_waits_for_the_head_of_its_session() -> None:
    assert waiting(a_job(), a_job("job_0"), NOW) == Waiting("session", job_id="job_0")
    assert waiting(a_job(), None, NOW) == Waiting("session")
    assert waiting(a_job(), a_job(), NOW) == Waiting("session"), "it has become the head since it was read"
