"""Who is told what has been committed."""

import threading
from collections.abc import Sequence

from domain.jobs import Job, State
from tasks.engine.outlets import Commit, Outlet, terminal_jobs
from tests.support.waiting import eventually
from tests.tasks.conftest import Workshop
from tests.tasks.scripted import Gate


def test_an_end_is_told_after_it_is_committed(workshop: Workshop) -> None:
    seen: list[tuple[str, State]] = []

    def hear(commits: Sequence[Commit]) -> None:
        for job in terminal_jobs(commits):
            assert workshop.job(job).state is job.state
            seen.append((job.id, job.state))

    workshop.engine(options={"audiences": {"test": hear}})
    job = workshop.admit("hi")
    eventually(lambda: seen == [(job.id, State.SUCCEEDED)])


def test_an_audience_that_does_not_listen_holds_up_nobody(workshop: Workshop) -> None:
    stuck = threading.Event()
    heard: list[Job] = []
    workshop.engine(
        options={
            "audiences": {
                "slow": lambda _: stuck.wait(20),
                "quick": lambda commits: heard.extend(terminal_jobs(commits)),
            }
        }
    )
    jobs = [workshop.admit(f"prompt {n}", f"ses_{n}") for n in range(20)]
    for job in jobs:
        workshop.ended(job)
    eventually(lambda: {job.id for job in heard} == {job.id for job in jobs})
    stuck.set()


def test_a_commit_tells_what_began_and_how_long_it_took(workshop: Workshop) -> None:
    told: list[Commit] = []
    workshop.engine(options={"audiences": {"test": told.extend}})
    gate = workshop.scripts["wait"] = Gate()
    job = workshop.admit("wait")
    eventually(lambda: [j.id for commit in told for j in commit.claimed] == [job.id])
    gate.open()
    eventually(lambda: any(commit.taken for commit in told))
    ((taken, attempt, runtime_s),) = [taken for commit in told for taken in commit.taken]
    assert (taken.id, taken.state, attempt) == (job.id, State.SUCCEEDED, 1)
    assert 0 < runtime_s < 10


def test_an_attempt_that_ended_with_its_session_is_told(workshop: Workshop) -> None:
    told: list[Commit] = []
    workshop.engine(options={"audiences": {"test": told.extend}})
    gate = workshop.scripts["wait"] = Gate()
    job = workshop.admit("wait")
    eventually(lambda: gate.reached)
    workshop.store.delete_session("default", "ses_a")
    eventually(lambda: [(j.id, j.attempt) for commit in told for j in commit.ended] == [(job.id, 1)])


def test_an_outlet_that_ends_tells_what_waits() -> None:
    told: list[Commit] = []
    outlet = Outlet("test", told.extend, lambda: None)
    for _ in range(5):
        outlet.put(Commit())
    outlet.start()
    outlet.stop(5)
    assert len(told) == 5
