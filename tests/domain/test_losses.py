from domain import lifecycle
from domain.jobs import CancelScope, Job, Outcome, State
from domain.lifecycle import MOST_LOSSES, SUSPECT_WINDOW_MS
from domain.sessions import Session
from tests.domain.makers import LEASE_MS, NOW, a_session, running


def lose_again(session: Session, job: Job) -> Job:
    """A lost job, claimed and lost at once."""
    again = lifecycle.claim(job, "w2", NOW, lease_ms=LEASE_MS)
    return lifecycle.lose(session, again, NOW + LEASE_MS, jitter=0.5).jobs[0]


def test_the_first_loss_is_anybodys_bad_luck() -> None:
    session, job = running(a_session())
    (lost,) = lifecycle.lose(session, job, NOW + LEASE_MS, jitter=0.5).jobs
    assert (lost.state, lost.charges, lost.losses, lost.ready_at) == (State.QUEUED, 0, 1, NOW + LEASE_MS)
    assert lost.past_attempts[0].outcome is Outcome.LOST
    assert not lost.is_suspect


def test_from_the_second_loss_on_a_job_is_a_suspect() -> None:
    session, job = running(a_session())
    (lost,) = lifecycle.lose(session, job, NOW, jitter=0.5).jobs
    lost = lose_again(session, lost)
    assert (lost.losses, lost.charges, lost.is_suspect) == (2, 0, True)


def test_a_suspect_that_ends_its_worker_at_once_is_charged_and_backs_off() -> None:
    session, job = running(a_session())
    suspect = lifecycle.claim(job.evolve(losses=2), "w2", NOW, lease_ms=LEASE_MS)
    (lost,) = lifecycle.lose(session, suspect, NOW + LEASE_MS, jitter=0.5).jobs
    assert (lost.charges, lost.losses, lost.ready_at) == (1, 3, NOW + LEASE_MS + 500)


def test_a_suspect_that_got_past_its_first_seconds_is_not_charged() -> None:
    session, job = running(a_session())
    suspect = lifecycle.claim(job.evolve(losses=2), "w2", NOW, lease_ms=LEASE_MS).evolve(
        renewed=NOW + SUSPECT_WINDOW_MS
    )
    (lost,) = lifecycle.lose(session, suspect, NOW + 2 * LEASE_MS, jitter=0.5).jobs
    assert (lost.state, lost.charges, lost.losses) == (State.QUEUED, 0, 3)


def test_a_prompt_that_ends_every_worker_fails_after_its_charges() -> None:
    session, job = running(a_session(), max_attempts=3)
    (job,) = lifecycle.lose(session, job, NOW, jitter=0.5).jobs
    attempts = 1
    while job.state.is_open:
        job = lose_again(session, job)
        attempts += 1
    assert (attempts, job.charges, job.state, job.failure and job.failure.code) == (5, 3, State.FAILED, "worker_lost")


def test_ten_losses_end_a_job_whoever_is_to_blame() -> None:
    session, job = running(a_session())
    change = lifecycle.lose(session, job.evolve(losses=MOST_LOSSES - 1, renewed=NOW + 9_999), NOW, jitter=0.5)
    (ended,) = change.jobs
    assert (ended.state, ended.charges, ended.failure and ended.failure.code) == (State.FAILED, 0, "worker_lost")
    assert change.messages[0].failed


def test_a_job_that_may_be_tried_once_ends_with_its_first_loss() -> None:
    session, job = running(a_session(), max_attempts=1)
    (ended,) = lifecycle.lose(session, job, NOW, jitter=0.5).jobs
    assert (ended.state, ended.outcome, ended.failure and ended.failure.code) == (
        State.FAILED,
        Outcome.LOST,
        "worker_lost",
    )


def test_a_cancelled_job_that_is_lost_is_cancelled_even_with_its_last_charge() -> None:
    session, job = running(a_session(), max_attempts=3)
    (job,) = lifecycle.cancel(session, job, NOW, scope=CancelScope.JOB).jobs
    assert lifecycle.lose(session, job, NOW, jitter=0.5).jobs[0].state is State.CANCELLED
    suspect = job.evolve(losses=4, charges=2)
    assert lifecycle.lose(session, suspect, NOW, jitter=0.5).jobs[0].state is State.CANCELLED
