"""The offline model."""

import asyncio
import time

import pytest

from domain.messages import Usage
from domain.settings import Settings
from executors.base import Event, PermanentError, Request, StepFinish, TextDelta, TransientError
from executors.echo import NOTHING_SAID, EchoExecutor
from tests.executors.requests import events_of, request, text_part


def answer(asked: Request, *, faults: bool = False) -> list[Event]:
    return asyncio.run(events_of(EchoExecutor(Settings(echo_faults=faults)), asked))


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@pytest.mark.parametrize(
    "text", ["one", "two words", "  leading,\n\ttabs and trailing \n", "Grüße an 東京 👋🏽", "a" * 10_000]
)
def test_it_answers_with_the_prompts_own_text(text: str) -> None:
    assert text_of(answer(request(text_part(text)))) == text


def test_it_streams_word_by_word_and_counts_words_as_tokens() -> None:
    events = answer(request(text_part("to be or not")))
    assert events == [
        TextDelta("to "),
        TextDelta("be "),
        TextDelta("or "),
        TextDelta("not"),
        StepFinish("stop", Usage(input=4, output=4), 0.0),
    ]


@pytest.mark.parametrize("parts", [[], [text_part("")], [text_part(" \n ")]])
def test_a_prompt_without_words_is_answered_too(parts: list[dict[str, str]]) -> None:
    assert text_of(answer(request(*parts))) == NOTHING_SAID


def test_what_is_not_text_is_named_and_never_shown() -> None:
    said = answer(
        request(
            text_part("look at"),
            {"type": "file", "mime": "image/png", "filename": "cat.png", "url": "data:image/png;base64,c2VjcmV0"},
            {"type": "agent", "name": "plan"},
            {"type": "subtask", "prompt": "and think", "description": "d", "agent": "a"},
            {"type": "text", "text": "not for models", "ignored": True},
        )
    )
    assert text_of(said) == "look at\n[file cat.png, image/png]\n@plan\nand think"


def test_a_long_answer_lets_others_have_the_event_loop() -> None:
    async def turns() -> int:
        count = 0
        task = asyncio.create_task(events_of(EchoExecutor(Settings()), request(text_part("word " * 5_000))))
        while not task.done():
            count += 1
            await asyncio.sleep(0)
        return count

    assert asyncio.run(turns()) > 10


def test_wishes_are_not_obeyed_unless_the_operator_says_so() -> None:
    asked = request(text_part("hello"), metadata={"echo": {"fail": "permanent", "delay": 60}})
    assert text_of(answer(asked)) == "hello"


def test_it_waits_when_asked_to() -> None:
    began = time.monotonic()
    answer(request(text_part("hello"), metadata={"echo": {"delay": 0.05}}), faults=True)
    assert time.monotonic() - began >= 0.05


def test_it_fails_as_often_as_asked() -> None:
    wishes = {"echo": {"fail": "transient", "failTimes": 2}}
    for attempt in (1, 2):
        with pytest.raises(TransientError):
            answer(request(text_part("hello"), attempt=attempt, metadata=wishes), faults=True)
    assert text_of(answer(request(text_part("hello"), attempt=3, metadata=wishes), faults=True)) == "hello"


def test_it_fails_for_good_when_asked_to() -> None:
    with pytest.raises(PermanentError) as caught:
        answer(request(text_part("hello"), metadata={"echo": {"fail": "permanent"}}), faults=True)
    assert caught.value.code == "echo_fault"
