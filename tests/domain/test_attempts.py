import pytest

from domain import lifecycle
from domain.jobs import AttemptEnd, CancelScope, Failure, Finished, Outcome, State
from domain.messages import Role, Usage
from tests.domain.makers import LEASE_MS, NOW, a_session, finish, running

PARTS = ({"id": "prt_1", "type": "text", "text": "hello"},)


def test_success_ends_the_job_with_its_answer() -> None:
    session, job = running(a_session())
    change = finish(session, job, Outcome.SUCCEEDED, parts=PARTS, usage=Usage(3, 4), cost=0.5, finish="stop")
    (ended,), (answer,) = change.jobs, change.messages
    assert (ended.state, ended.outcome, ended.ended, ended.ready_at) == (State.SUCCEEDED, Outcome.SUCCEEDED, NOW, None)
    assert (answer.role, answer.seq, answer.id, answer.parts) == (Role.ASSISTANT, job.seq, job.assistant_id, PARTS)
    assert not answer.failed
    assert change.session.open_total == 0
    assert (change.session.usage, change.session.cost) == (Usage(3, 4), 0.5)


def test_an_error_that_would_come_again_ends_the_job_failed() -> None:
    session, job = running(a_session())
    failure = Failure("provider_error", "no such model", status=404, from_provider=True)
    change = finish(session, job, Outcome.FAILED, failure=failure)
    assert (change.jobs[0].state, change.jobs[0].failure, change.jobs[0].charges) == (State.FAILED, failure, 1)
    assert change.messages[0].failed


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.TIMED_OUT])
def test_an_error_that_may_pass_is_tried_again_after_a_back_off(outcome: Outcome) -> None:
    session, job = running(a_session())
    change = finish(session, job, outcome, jitter=0.5)
    (again,) = change.jobs
    assert (again.state, again.charges, again.attempt, again.ready_at) == (State.QUEUED, 1, 1, NOW + 500)
    assert (again.worker, again.lease_until, again.assistant_id) == (None, None, None)
    assert [(past.number, past.worker, past.outcome) for past in again.past_attempts] == [(1, "w1", outcome)]
    assert change.messages == ()
    assert change.session.open_total == 1


def test_a_provider_that_names_a_time_is_not_asked_before() -> None:
    session, job = running(a_session())
    (again,) = finish(session, job, Outcome.TRANSIENT, retry_after_ms=7_000, jitter=0.0).jobs
    assert again.ready_at == NOW + 7_000


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.TIMED_OUT])
def test_the_last_attempt_that_is_allowed_ends_the_job(outcome: Outcome) -> None:
    session, job = running(a_session(), max_attempts=2)
    (again,) = finish(session, job, outcome).jobs
    job = lifecycle.claim(again, "w2", NOW + 9_000, lease_ms=LEASE_MS)
    change = finish(session, job, outcome, failure=Failure("provider_error", "busy"))
    assert (change.jobs[0].state, change.jobs[0].charges, change.jobs[0].attempt) == (State.FAILED, 2, 2)
    assert len(change.messages) == 1


def test_attempt_numbers_rise_over_every_kind_of_repetition() -> None:
    session, job = running(a_session(), max_attempts=9)
    for number, outcome in enumerate((Outcome.TRANSIENT, Outcome.RETURNED, Outcome.TIMED_OUT), start=1):
        assert job.attempt == number
        (job,) = finish(session, job, outcome).jobs
        job = lifecycle.claim(job, "w2", NOW, lease_ms=LEASE_MS)
    assert job.attempt == 4
    (job,) = lifecycle.lose(session, job, NOW, jitter=0.0).jobs
    assert lifecycle.claim(job, "w3", NOW, lease_ms=LEASE_MS).attempt == 5


def test_a_job_that_is_handed_back_runs_again_at_once_uncharged() -> None:
    session, job = running(a_session())
    (again,) = finish(session, job, Outcome.RETURNED).jobs
    assert (again.state, again.charges, again.losses, again.ready_at) == (State.QUEUED, 0, 0, NOW)


def test_a_job_that_may_be_tried_once_fails_when_it_is_handed_back_and_keeps_what_it_had() -> None:
    session, job = running(a_session(), max_attempts=1)
    change = finish(session, job, Outcome.RETURNED, parts=PARTS, usage=Usage(3, 4))
    (ended,) = change.jobs
    assert (ended.state, ended.outcome, ended.failure and ended.failure.code) == (
        State.FAILED,
        Outcome.RETURNED,
        "worker_lost",
    )
    assert (change.messages[0].parts, change.session.usage) == (PARTS, Usage(3, 4))


@pytest.mark.parametrize("stale", [0, 1, 3])
def test_an_attempt_that_is_not_the_latest_changes_nothing(stale: int) -> None:
    session, job = running(a_session())
    (job,) = finish(session, job, Outcome.RETURNED).jobs
    job = lifecycle.claim(job, "w2", NOW, lease_ms=LEASE_MS)
    told = Finished(job.tenant, job.session_id, job.incarnation, job.id, stale, AttemptEnd(Outcome.SUCCEEDED))
    assert lifecycle.finish(session, job, told, NOW, jitter=0.5) is None


def test_the_latest_attempt_of_a_job_that_does_not_run_changes_nothing() -> None:
    session, job = running(a_session())
    told = Finished(job.tenant, job.session_id, job.incarnation, job.id, 1, AttemptEnd(Outcome.SUCCEEDED))
    (queued,) = finish(session, job, Outcome.RETURNED).jobs
    assert lifecycle.finish(session, queued, told, NOW, jitter=0.5) is None
    done = finish(session, job, Outcome.SUCCEEDED)
    assert lifecycle.finish(done.session, done.jobs[0], told, NOW, jitter=0.5) is None


@pytest.mark.parametrize("outcome", [Outcome.TRANSIENT, Outcome.TIMED_OUT, Outcome.RETURNED])
def test_a_job_that_somebody_cancelled_is_not_tried_again(outcome: Outcome) -> None:
    session, job = running(a_session())
    (job,) = lifecycle.cancel(session, job, NOW, scope=CancelScope.JOB).jobs
    change = finish(session, job, outcome, parts=PARTS)
    assert change.jobs[0].state is State.CANCELLED
    assert change.messages[0].parts == PARTS


@pytest.mark.parametrize(("outcome", "state"), [(Outcome.SUCCEEDED, State.SUCCEEDED), (Outcome.FAILED, State.FAILED)])
def test_an_end_that_is_committed_before_the_worker_saw_the_cancellation_stands(outcome: Outcome, state: State) -> None:
    session, job = running(a_session())
    (job,) = lifecycle.cancel(session, job, NOW, scope=CancelScope.JOB).jobs
    assert finish(session, job, outcome).jobs[0].state is state


def test_what_a_repeated_attempt_used_counts_for_its_session() -> None:
    session, job = running(a_session())
    change = finish(session, job, Outcome.TRANSIENT, usage=Usage(3, 4), cost=0.5)
    assert change.jobs[0].state is State.QUEUED
    assert (change.session.usage, change.session.cost) == (Usage(3, 4), 0.5)
