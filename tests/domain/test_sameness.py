from typing import Any

import pytest

from domain import lifecycle
from domain.messages import Message
from domain.sameness import content_hash, differing_fields, same_prompt
from domain.sessions import Creation
from tests.domain.makers import NOW, a_prompt, a_session


def kept(session: dict[str, Any] | None = None, **prompt: Any) -> Message:
    """The message of an admitted prompt."""
    admitted = lifecycle.admit(a_session(**session or {}), a_prompt(**prompt), default_model="old/default", now=NOW)
    return admitted.messages[0]


def same(message: Message, session: dict[str, Any] | None = None, **prompt: Any) -> bool:
    """Whether a prompt repeats it, now that the server's default is another."""
    return same_prompt(message, a_prompt(**prompt), a_session(**session or {}), default_model="new/default")


def test_content_is_hashed_whatever_the_order_of_its_fields() -> None:
    assert content_hash({"a": 1, "b": {"c": "é", "d": None}}) == content_hash({"b": {"d": None, "c": "é"}, "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": "1"})
    assert content_hash({"a": 1}) != content_hash({"a": True})


def test_the_same_content_is_the_same_prompt() -> None:
    assert same(kept())
    assert not same(kept(), text="something else")


def test_a_prompt_with_an_answer_is_not_the_same_as_one_without() -> None:
    assert not same(kept(), no_reply=True)
    assert not same(kept(no_reply=True))
    assert same(kept(no_reply=True), no_reply=True)


def test_an_answer_or_a_forked_message_is_never_repeated() -> None:
    assert not same(kept().evolve(content_hash=None))


@pytest.mark.parametrize(
    ("first", "again", "expected"),
    [
        (None, None, True),
        ("old/default", "old/default", True),
        (None, "old/default", True),
        ("new/default", None, True),
        ("old/default", None, False),
        (None, "new/default", False),
        ("p/m", "p/n", False),
    ],
)
def test_a_model_that_is_not_given_stands_for_the_default(first: str | None, again: str | None, expected: bool) -> None:
    assert same(kept(model=first), model=again) is expected


def test_a_sessions_model_is_its_default() -> None:
    session = {"model": "s/m"}
    assert same(kept(session, model="s/m"), session)
    assert same(kept(session), session, model="s/m")
    assert same(kept(session), {"model": "t/m"})


@pytest.mark.parametrize(
    ("first", "again", "expected"),
    [(None, None, True), (None, "build", True), ("build", None, True), ("plan", None, False), (None, "plan", False)],
)
def test_an_agent_that_is_not_given_stands_for_the_default(
    first: str | None, again: str | None, expected: bool
) -> None:
    def detail(agent: str | None) -> dict[str, Any]:
        return {"agent": agent} if agent else {}

    assert same(kept(detail=detail(first)), detail=detail(again)) is expected


def test_only_fields_that_both_sides_gave_are_compared() -> None:
    session = a_session(given={"title": "A", "model": "p/m"})
    assert differing_fields(session, _creation(title="A", agent="plan")) == []
    assert differing_fields(session, _creation(title="B", model="p/n", agent="plan")) == ["model", "title"]
    assert differing_fields(a_session(), _creation(title="B")) == []


def test_values_are_compared_as_json_has_them() -> None:
    session = a_session(given={"metadata": {"a": 1, "b": [None]}})
    assert differing_fields(session, _creation(metadata={"b": [None], "a": 1})) == []
    assert differing_fields(session, _creation(metadata={"b": [None], "a": True})) == ["metadata"]


def _creation(**given: Any) -> Creation:
    return Creation("ses_a", given=given)
