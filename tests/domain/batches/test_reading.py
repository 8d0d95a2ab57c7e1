"""What a line may be, what it becomes, and what is said of one that cannot be run."""

from typing import Any

import pytest

from domain.batches.reading import LineRefused
from domain.conversations import turns_before
from domain.ids import is_ephemeral, is_hidden
from domain.messages import Message, Role
from domain.prompts import Prompt
from tests.domain.batches.lines import TERMS, chat, read, short, to_session


def prompt_of(line: Any, **defaults: Any) -> tuple[str, Prompt]:
    found = read(line, **defaults)
    from domain.batches.reading import Defaults

    return found.arrival("batch_b", "seed", Defaults(**defaults), TERMS)


def test_a_chat_completion_is_a_one_off_with_a_session_that_nobody_can_name() -> None:
    session_id, prompt = prompt_of(chat(text="hello", model="p/m", max_tokens=5))
    assert is_hidden(session_id)
    assert [part["text"] for part in prompt.parts] == ["hello"]
    assert (prompt.model, prompt.detail) == ("p/m", {"options": {"max_tokens": 5}})
    assert (prompt.batch_id, prompt.line) == ("batch_b", str(read(chat(text="hello", model="p/m", max_tokens=5)).name))


def test_its_messages_are_the_whole_conversation() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": [{"type": "text", "text": "Three?"}]},
    ]
    _, prompt = prompt_of(chat(messages=messages))
    assert prompt.detail is not None
    assert prompt.detail["system"] == "Be brief."
    assert [part["text"] for part in prompt.parts] == ["Three?"]
    kept = Message(
        "t", "ses_.x", 1, 1, Role.USER, "msg_1", 0, prompt.parts, {**prompt.detail, "agent": "build", "model": "p/m"}
    )
    (turn,) = turns_before(kept)
    assert turn.answer is not None
    assert [part["text"] for part in (*turn.prompt.parts, *turn.answer.parts)] == ["One?", "Two."]


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ([], "messages"),
        ([{"role": "system", "content": "x"}], "first message"),
        ([{"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}], "first message"),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "last message"),
        (
            [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}, {"role": "user", "content": "z"}],
            "before",
        ),
    ],
)
def test_a_conversation_begins_and_ends_with_the_user(messages: Any, why: str) -> None:
    with pytest.raises(LineRefused, match=why):
        read(chat(messages=messages))


def test_a_prompt_to_a_session_is_as_in_the_call_of_that_name() -> None:
    session_id, prompt = prompt_of(to_session(session="ses_x", priority=7, timeout=3, metadata={"echo": {"delay": 1}}))
    assert (session_id, prompt.priority, prompt.timeout_ms) == ("ses_x", 7, 3000)


def test_the_short_form_is_either_of_the_two() -> None:
    session_id, prompt = prompt_of(short(prompt="hello", model="p/m"))
    assert (is_hidden(session_id), prompt.parts[0]["text"], prompt.model) == (True, "hello", "p/m")
    session_id, prompt = prompt_of(short(prompt="hello", session="ses_x", model="p/m"))
    assert (session_id, prompt.parts[0]["text"], prompt.model) == ("ses_x", "hello", "p/m")


@pytest.mark.parametrize("line", [short(ephemeral=True), chat(ephemeral=True)])
def test_a_one_off_is_ephemeral_where_it_says_so(line: Any) -> None:
    session_id, prompt = prompt_of(line)
    assert is_ephemeral(session_id)
    assert is_hidden(session_id)
    assert prompt.idempotency_key == "seed"


def test_what_a_line_does_not_say_its_batch_says() -> None:
    _, prompt = prompt_of(to_session(), model="p/m", priority=2, max_attempts=1, timeout_ms=7)
    assert (prompt.model, prompt.priority, prompt.max_attempts, prompt.timeout_ms) == ("p/m", 2, 1, 7)
    _, prompt = prompt_of(to_session(priority=5, maxAttempts=3), priority=2, max_attempts=1)
    assert (prompt.priority, prompt.max_attempts) == (5, 3)
    assert is_ephemeral(prompt_of(short(), ephemeral=True)[0])
    assert not is_ephemeral(prompt_of(short(ephemeral=False), ephemeral=True)[0])


def test_the_hash_is_of_what_is_asked_and_of_what_it_is_asked_with() -> None:
    one = read('{"custom_id":"a","prompt":"hi","model":"p/m"}')
    other = read('{ "model": "p/m", "prompt": "hi", "custom_id": "a" }')
    assert one.name.hash == other.name.hash
    assert one.name.hash != read(short(prompt="hi", model="p/n")).name.hash
    assert read(short()).name.hash != read(short(), model="p/m").name.hash


@pytest.mark.parametrize(
    ("line", "code", "field", "why"),
    [
        (b'{"custom_id": "a", "prompt": ', "invalid_json", None, "not JSON"),
        (b'{"custom_id": "a", "prompt": "\xff"}', "invalid_utf8", None, "not UTF-8"),
        (b"[]", "invalid_line", None, "must be"),
        ({"prompt": "x"}, "invalid_line", "custom_id", "is required"),
        (short(custom_id=""), "invalid_line", "custom_id", "length"),
        (short(custom_id="a\nb"), "invalid_line", "custom_id", "control"),
        (short(prompt=" "), "invalid_line", "prompt", "empty"),
        (short(promt="x"), "invalid_line", "promt", "unknown field"),
        (short(url="/v1/chat/completions"), "invalid_line", "url", "short form"),
        (short(session="nightly"), "invalid_line", "session", "ses_"),
        (short(session="ses_a", ephemeral=True), "invalid_line", "ephemeral", "name"),
        (short(model="gpt"), "invalid_line", "model", "unknown model"),
        ({"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}, "invalid_line", "body", "required"),
        ({**chat(), "method": "GET"}, "invalid_line", "method", "not one of"),
        ({**chat(), "url": "/v1/embeddings"}, "invalid_line", "url", "must be"),
        ({**chat(), "session": "ses_a"}, "invalid_line", "session", "short form"),
        (chat(temperature=3), "invalid_line", "body.temperature", "<= 2"),
        (chat(tools=[]), "invalid_line", "body.tools", "unknown field"),
        (chat(stream=True), "invalid_line", "body.stream", "not streamed"),
        (chat(messages=[{"role": "user"}]), "invalid_line", "body.messages.0.content", "required"),
        (chat(model="nobody/m"), "invalid_line", "body.model", "unknown model"),
        (to_session(noReply=True), "invalid_line", "body.noReply", "answer"),
        (to_session(whenBusy="interrupt"), "invalid_line", "body.whenBusy", "interrupt"),
        (to_session(priority=10), "invalid_line", "body.priority", "less than"),
        (to_session(parts=[]), "invalid_line", "body.parts", "empty"),
        (to_session(session="ses_a.b"), "invalid_line", "url", "must be"),
    ],
)
def test_a_bad_line_is_refused_with_its_field_and_a_reason(line: Any, code: str, field: str | None, why: str) -> None:
    with pytest.raises(LineRefused, match=why) as refused:
        read(line)
    assert (refused.value.code, refused.value.field) == (code, field)


def test_a_bad_line_is_told_by_its_name_where_that_can_be_read() -> None:
    with pytest.raises(LineRefused) as refused:
        read({"custom_id": "mine", "prompt": 5})
    assert refused.value.custom_id == "mine"


def test_a_refusal_repeats_no_content() -> None:
    for line in (chat(user=["secret"]), to_session(system=["secret"]), {"custom_id": "a", "prompt": ["secret"]}):
        with pytest.raises(LineRefused) as refused:
            read(line)
        assert "secret" not in str(refused.value)
