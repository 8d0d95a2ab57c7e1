import pytest

from domain import lifecycle
from domain.answers import error_of
from domain.jobs import CancelScope, Failure, Outcome, State
from domain.messages import Usage
from tests.domain.makers import NOW, a_session, admitted, finish, running


def test_an_answer_carries_what_opencode_shows_of_one() -> None:
    session, job = running(a_session(directory="/srv"), detail={"agent": "plan"}, model="p/m")
    usage = Usage(1, 2, 3, 4, 5)
    answer = finish(session, job, Outcome.SUCCEEDED, now=NOW + 9, usage=usage, cost=0.25, finish="stop").messages[0]
    assert (answer.created, answer.job_id) == (NOW, job.id)
    assert answer.detail == {
        "parentID": job.message_id,
        "model": "p/m",
        "agent": "plan",
        "path": "/srv",
        "completed": NOW + 9,
        "tokens": {"input": 1, "output": 2, "reasoning": 3, "cache": {"read": 4, "write": 5}},
        "cost": 0.25,
        "finish": "stop",
    }


def test_what_is_not_known_is_left_out() -> None:
    session, job = running(a_session())
    detail = finish(session, job, Outcome.SUCCEEDED).messages[0].detail
    assert detail.keys().isdisjoint({"tokens", "cost", "finish", "error"})


def test_the_answer_of_a_job_that_never_started_has_no_parts_and_the_time_of_its_end() -> None:
    session, job = admitted(a_session())
    answer = lifecycle.cancel(session, job, NOW + 7, scope=CancelScope.JOB).messages[0]
    assert (answer.parts, answer.created, answer.detail["completed"]) == ((), NOW + 7, NOW + 7)


@pytest.mark.parametrize(
    ("state", "failure", "error"),
    [
        (
            State.CANCELLED,
            Failure("cancelled", "stop it"),
            {"name": "MessageAbortedError", "data": {"message": "stop it"}},
        ),
        (State.CANCELLED, None, {"name": "MessageAbortedError", "data": {"message": "the prompt is cancelled"}}),
        (State.FAILED, Failure("timeout", "too slow"), {"name": "UnknownError", "data": {"message": "too slow"}}),
        (State.EXPIRED, Failure("expired", "late"), {"name": "UnknownError", "data": {"message": "late"}}),
        (
            State.FAILED,
            Failure("provider_error", "busy", 429, from_provider=True),
            {"name": "APIError", "data": {"message": "busy", "isRetryable": False, "statusCode": 429}},
        ),
        (
            State.FAILED,
            Failure("provider_error", "cut off", from_provider=True),
            {"name": "APIError", "data": {"message": "cut off", "isRetryable": False}},
        ),
    ],
)
def test_a_turn_without_an_answer_says_why_in_opencodes_shapes(
    state: State, failure: Failure | None, error: dict[str, object]
) -> None:
    assert error_of(state, failure) == error


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED, Outcome.TRANSIENT, Outcome.TIMED_OUT])
def test_every_end_but_success_is_marked_so_that_no_model_is_shown_the_turn(outcome: Outcome) -> None:
    session, job = running(a_session(), max_attempts=1)
    answer = finish(session, job, outcome).messages[0]
    assert answer.failed
    assert "error" in answer.detail
