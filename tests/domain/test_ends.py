import pytest

from domain import lifecycle
from domain.jobs import CancelScope, Failure, Outcome, State
from tests.domain.makers import NOW, a_session, admitted, finish, running


def test_a_queued_job_is_cancelled_at_once_with_a_message_that_says_so() -> None:
    session, job = admitted(a_session())
    change = lifecycle.cancel(session, job, NOW + 1, scope=CancelScope.JOB)
    (ended,), (answer,) = change.jobs, change.messages
    assert (ended.state, ended.ended, ended.ready_at, ended.outcome) == (State.CANCELLED, NOW + 1, None, None)
    assert (answer.id, answer.parts, answer.failed) == (ended.assistant_id, (), True)
    assert change.session.open_total == 0


def test_a_running_job_is_only_asked() -> None:
    session, job = running(a_session())
    change = lifecycle.cancel(session, job, NOW, scope=CancelScope.JOB)
    (asked,) = change.jobs
    assert (asked.state, asked.cancel_requested, change.messages) == (State.RUNNING, CancelScope.JOB, ())
    assert change.session.open_total == 1


def test_an_abort_outweighs_a_cancellation_and_not_the_other_way_round() -> None:
    session, job = running(a_session())
    (job,) = lifecycle.cancel(session, job, NOW, scope=CancelScope.JOB).jobs
    (job,) = lifecycle.cancel(session, job, NOW, scope=CancelScope.SESSION).jobs
    assert job.cancel_requested is CancelScope.SESSION
    assert lifecycle.cancel(session, job, NOW, scope=CancelScope.JOB).jobs == ()


@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED])
def test_a_terminal_job_never_changes(outcome: Outcome) -> None:
    session, job = running(a_session(), expires_at=NOW + 1)
    change = finish(session, job, outcome)
    after, (ended,) = change.session, change.jobs
    assert lifecycle.cancel(after, ended, NOW + 9, scope=CancelScope.SESSION) == lifecycle.Change(after)
    assert lifecycle.expire(after, ended, NOW + 9) == lifecycle.Change(after)


def test_an_abort_ends_what_waits_and_asks_what_runs() -> None:
    session, first = running(a_session())
    session, second = admitted(session, priority=9)
    change = lifecycle.cancel_all(session, [first, second], NOW)
    assert [(job.state, job.cancel_requested) for job in change.jobs] == [
        (State.RUNNING, CancelScope.SESSION),
        (State.CANCELLED, None),
    ]
    assert change.session.open_total == 1
    assert change.session.urgency == 5


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
def test_a_session_that_stops_on_failure_stops_when_a_prompt_ends_without_success(outcome: Outcome) -> None:
    session, job = running(a_session(on_failure="stop"))
    change = finish(session, job, outcome)
    assert lifecycle.stops_session(change.session, change.jobs[0])
    assert not lifecycle.stops_session(change.session.evolve(on_failure="continue"), change.jobs[0])


def test_neither_success_nor_an_abort_stops_a_session() -> None:
    session, job = running(a_session(on_failure="stop"))
    assert not lifecycle.stops_session(session, finish(session, job, Outcome.SUCCEEDED).jobs[0])
    (job,) = lifecycle.cancel(session, job, NOW, scope=CancelScope.SESSION).jobs
    assert not lifecycle.stops_session(session, finish(session, job, Outcome.CANCELLED).jobs[0])


def test_a_job_expires_when_its_time_comes_and_not_before() -> None:
    session, job = admitted(a_session(), expires_at=NOW + 10)
    assert lifecycle.expire(session, job, NOW + 9).jobs == ()
    assert lifecycle.is_claimable(job, NOW + 9)
    assert not lifecycle.is_claimable(job, NOW + 10)
    change = lifecycle.expire(session, job, NOW + 10)
    assert (change.jobs[0].state, change.jobs[0].failure and change.jobs[0].failure.code) == (State.EXPIRED, "expired")
    assert change.messages[0].detail["error"]["name"] == "UnknownError"


def test_a_job_that_once_started_has_kept_its_time() -> None:
    session, job = running(a_session(), expires_at=NOW + 10)
    assert not lifecycle.is_overdue(job, NOW + 99)
    (again,) = finish(session, job, Outcome.TRANSIENT).jobs
    assert not lifecycle.is_overdue(again, NOW + 99)


def test_deleting_a_session_cancels_its_open_jobs_and_leaves_no_content() -> None:
    session, job = running(a_session())
    buried = lifecycle.bury(job, NOW + 1)
    assert (buried.state, buried.ended, buried.failure) == (State.CANCELLED, NOW + 1, Failure("session_deleted", ""))
    failed = finish(session, job, Outcome.FAILED, failure=Failure("provider_error", "secret words", 400, True)).jobs[0]  # noqa: FBT003
    buried = lifecycle.bury(failed, NOW + 1)
    assert (buried.state, buried.ended) == (State.FAILED, NOW)
    assert buried.failure == Failure("provider_error", "", 400, from_provider=True)
