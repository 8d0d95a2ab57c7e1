from typing import Any

import pytest

from domain import creation as creations
from domain import lifecycle
from domain.errors import SessionDiffers, SessionExists
from domain.jobs import Outcome
from domain.messages import Message, Role
from domain.sessions import Creation, Session
from tests.domain.makers import NOW, a_prompt, a_session, finish


def conversation(*turns: Outcome | None) -> tuple[Session, list[Message]]:
    """A session with turns that ended so (None: `noReply`), and its messages in order."""
    session = a_session(title="T", model="s/m")
    messages: list[Message] = []
    for outcome in turns:
        prompt = a_prompt(f"prompt {session.seq + 1}", no_reply=outcome is None, message_id=f"msg_{session.seq + 1}")
        change = lifecycle.admit(session, prompt, default_model="echo/echo", now=NOW)
        session = change.session
        messages += change.messages
        if outcome is not None:
            job = lifecycle.claim(change.jobs[0], "w1", NOW, lease_ms=1)
            change = finish(session, job, outcome, parts=[{"id": "prt_a", "type": "text", "text": f"answer {job.seq}"}])
            session = change.session
            messages += change.messages
    return session, messages


def test_a_session_without_a_title_is_called_by_its_time() -> None:
    assert a_session().title == "New session - 2027-01-15T08:00:00.000Z"
    assert a_session(title="").title == ""


def test_incarnations_of_one_name_differ() -> None:
    assert a_session().incarnation != a_session().incarnation


def test_creating_again_with_the_same_parameters_changes_nothing() -> None:
    session = a_session(given={"title": "A"}, title="A")
    assert creations.repeat(session, Creation("ses_a", given={"title": "A"}, title="A")) is session
    assert creations.repeat(session, Creation("ses_a", given={"agent": "plan"}, agent="plan")) is session


def test_creating_again_with_other_parameters_names_them() -> None:
    session = a_session(given={"title": "A", "agent": "plan"}, title="A", agent="plan")
    with pytest.raises(SessionDiffers) as differs:
        creations.repeat(session, Creation("ses_a", given={"title": "B", "agent": "build"}))
    assert differs.value.fields == ("agent", "title")


def test_a_session_that_must_be_new_must_be_new() -> None:
    for answer in (creations.repeat, creations.repeat_fork):
        with pytest.raises(SessionExists):
            answer(a_session(given={}), Creation("ses_a", given={}, if_exists="error"))


def test_a_session_that_a_prompt_made_takes_the_first_parameters_given_and_keeps_them() -> None:
    first: dict[str, Any] = {"title": "A", "onFailure": "stop"}
    session = creations.repeat(a_session(), Creation("ses_a", given=first, title="A", on_failure="stop"))
    assert (session.title, session.on_failure, session.created_with) == ("A", "stop", first)
    with pytest.raises(SessionDiffers):
        creations.repeat(session, Creation("ses_a", given={"onFailure": "continue"}))


def test_a_session_that_a_prompt_made_is_left_alone_by_another_prompt() -> None:
    session = a_session()
    assert creations.repeat(session, Creation("ses_a")) is session


def test_a_fork_has_the_committed_turns_under_new_ids_and_no_jobs_or_keys() -> None:
    source, messages = conversation(Outcome.SUCCEEDED, Outcome.FAILED, None, Outcome.CANCELLED, Outcome.SUCCEEDED)
    change = creations.fork("default", source, Creation("ses_b"), creations.committed_turns(messages), NOW + 1)
    assert change.jobs == ()
    texts = [(message.seq, message.role, message.parts[0]["text"]) for message in change.messages]
    assert texts == [
        (1, Role.USER, "prompt 1"),
        (1, Role.ASSISTANT, "answer 1"),
        (2, Role.USER, "prompt 3"),
        (3, Role.USER, "prompt 5"),
        (3, Role.ASSISTANT, "answer 5"),
    ]
    assert change.session.seq == 3
    old = {message.id for message in messages} | {part.get("id") for message in messages for part in message.parts}
    for message in change.messages:
        assert (message.session_id, message.incarnation) == ("ses_b", change.session.incarnation)
        assert (message.job_id, message.content_hash, message.idempotency_key) == (None, None, None)
        assert old.isdisjoint({message.id, *(part["id"] for part in message.parts)})
    assert change.messages[1].detail["parentID"] == change.messages[0].id


def test_a_fork_has_its_sources_settings_and_says_so_in_its_title() -> None:
    source, _ = conversation()
    change = creations.fork("default", source, Creation("ses_b"), [], NOW)
    assert (change.session.title, change.session.model, change.session.seq) == ("T (fork)", "s/m", 0)


def test_a_fork_of_a_fork_has_the_same_turns() -> None:
    source, messages = conversation(Outcome.SUCCEEDED, None)
    once = creations.fork("default", source, Creation("ses_b"), creations.committed_turns(messages), NOW)
    twice = creations.fork("default", once.session, Creation("ses_c"), creations.committed_turns(once.messages), NOW)
    assert [(each.seq, each.role) for each in twice.messages] == [(each.seq, each.role) for each in once.messages]


def test_open_turns_are_not_committed() -> None:
    change = lifecycle.admit(a_session(), a_prompt(), default_model="m/m", now=NOW)
    assert creations.committed_turns(change.messages) == []


FORK = Creation("ses_b", given={"fork": {"source": "ses_a", "messageID": "msg_1"}, "title": "B"})


def test_the_same_fork_again_is_the_same_session() -> None:
    session = creations.new_session("default", FORK, NOW)
    assert creations.repeat_fork(session, FORK) is session


@pytest.mark.parametrize(
    "made_with",
    [
        None,
        {},
        {"title": "B"},
        {"fork": {"source": "ses_a", "messageID": None}},
        {"fork": {"source": "ses_a", "messageID": "msg_2"}},
        {"fork": {"source": "ses_x", "messageID": "msg_1"}},
    ],
)
def test_a_session_that_was_made_otherwise_does_not_pass_for_the_fork(made_with: dict[str, Any] | None) -> None:
    with pytest.raises(SessionDiffers) as differs:
        creations.repeat_fork(creations.new_session("default", Creation("ses_b", given=made_with), NOW), FORK)
    assert differs.value.fields == ("fork",)


def test_a_fork_with_another_title_is_another() -> None:
    session = creations.new_session(
        "default", FORK.evolve(given={"fork": {"source": "ses_a", "messageID": "msg_1"}, "title": "C"}), NOW
    )
    with pytest.raises(SessionDiffers) as differs:
        creations.repeat_fork(session, FORK)
    assert differs.value.fields == ("title",)
