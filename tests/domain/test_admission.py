import pytest

from domain import lifecycle
from domain.jobs import CancelScope, State
from domain.messages import Role
from tests.domain.makers import NOW, a_prompt, a_session, admitted, running


def test_a_prompt_gets_the_next_sequence_number_a_message_and_a_queued_job() -> None:
    session = a_session().evolve(seq=4)
    change = lifecycle.admit(session, a_prompt(message_id="msg_1"), default_model="echo/echo", now=NOW)
    (job,), (message,) = change.jobs, change.messages
    assert change.session.seq == job.seq == message.seq == 5
    assert (job.state, job.attempt, job.ready_at) == (State.QUEUED, 0, None)
    assert (message.role, message.id, message.job_id, job.message_id) == (Role.USER, "msg_1", job.id, "msg_1")
    assert change.session.open_total == 1


def test_a_no_reply_prompt_takes_its_place_without_a_job() -> None:
    change = lifecycle.admit(a_session(), a_prompt(no_reply=True), default_model="echo/echo", now=NOW)
    assert change.jobs == ()
    assert change.messages[0].job_id is None
    assert (change.session.seq, change.session.open_total) == (1, 0)


@pytest.mark.parametrize(
    ("prompt", "session", "model"),
    [("p/m", "s/m", "p/m"), (None, "s/m", "s/m"), (None, None, "echo/echo")],
)
def test_the_model_is_the_prompts_else_the_sessions_else_the_servers(
    prompt: str | None, session: str | None, model: str
) -> None:
    change = lifecycle.admit(a_session(model=session), a_prompt(model=prompt), default_model="echo/echo", now=NOW)
    assert change.jobs[0].model == change.messages[0].detail["model"] == model


def test_what_was_given_by_name_is_told_from_what_was_filled_in() -> None:
    given = a_prompt(model="p/m", detail={"agent": "plan", "system": "be brief"})
    message = lifecycle.admit(a_session(), given, default_model="echo/echo", now=NOW).messages[0]
    assert message.detail["given"] == {"model": "p/m", "agent": "plan"}
    message = lifecycle.admit(a_session(), a_prompt(), default_model="echo/echo", now=NOW).messages[0]
    assert message.detail == {"given": {}, "model": "echo/echo", "agent": "build"}


def test_an_idempotency_key_is_kept_only_where_there_is_no_message_id() -> None:
    both = a_prompt(message_id="msg_1", idempotency_key="key")
    assert lifecycle.admit(a_session(), both, default_model="m/m", now=NOW).messages[0].idempotency_key is None
    one = a_prompt(idempotency_key="key")
    assert lifecycle.admit(a_session(), one, default_model="m/m", now=NOW).messages[0].idempotency_key == "key"


def test_a_head_is_ready_at_once_or_when_its_time_comes() -> None:
    _, at_once = admitted(a_session())
    assert lifecycle.is_claimable(at_once, NOW)
    _, later = admitted(a_session(), not_before=NOW + 10)
    assert later.ready_at == NOW + 10
    assert not lifecycle.is_claimable(later, NOW + 9)
    assert lifecycle.is_claimable(later, NOW + 10)


def test_a_head_ranks_as_the_most_urgent_open_job_of_its_session() -> None:
    session, head = admitted(a_session(), priority=2)
    assert head.rank == 2
    session, behind = admitted(session, priority=8)
    assert lifecycle.stamp(session, head, NOW).rank == 8
    ended = lifecycle.cancel(session, behind, NOW, scope=CancelScope.JOB)
    assert lifecycle.stamp(ended.session, head, NOW).rank == 2


def test_stamping_again_keeps_the_time() -> None:
    session, head = admitted(a_session())
    assert lifecycle.stamp(session, head, NOW + 500) is head


def test_a_job_behind_the_head_cannot_be_claimed() -> None:
    session, _ = admitted(a_session())
    _, behind = admitted(session)
    assert not lifecycle.is_claimable(behind, NOW)


def test_a_claim_numbers_the_attempt_and_leases_it() -> None:
    _, job = running(a_session())
    assert (job.state, job.attempt, job.worker) == (State.RUNNING, 1, "w1")
    assert (job.lease_until, job.renewed, job.started, job.attempt_started) == (NOW + 30_000, NOW, NOW, NOW)
    assert job.assistant_id is not None
    assert not lifecycle.is_claimable(job, NOW + 60_000)


def test_a_retry_asks_for_the_same_again_but_for_its_times() -> None:
    prompt = a_prompt(
        message_id="msg_1",
        detail={"agent": "plan", "system": "be brief"},
        priority=7,
        max_attempts=2,
        timeout_ms=5,
        not_before=NOW + 1,
        expires_at=NOW + 2,
    )
    change = lifecycle.admit(a_session(model="s/m"), prompt, default_model="echo/echo", now=NOW)
    again = lifecycle.retried(change.jobs[0], change.messages[0])
    assert again.parts == prompt.parts
    assert again.content_hash == prompt.content_hash
    assert again.detail == {"agent": "plan", "system": "be brief"}
    assert (again.model, again.priority, again.max_attempts, again.timeout_ms) == ("s/m", 7, 2, 5)
    assert (again.message_id, again.not_before, again.expires_at) == (None, None, None)
    assert (again.retry_of, again.if_missing) == (change.jobs[0].id, "fail")
