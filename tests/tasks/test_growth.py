"""What is told of an answer while it grows: all of it, once, however often somebody looks."""

import random

from domain.answers import tokens
from domain.messages import Usage
from executors.base import Event, ReasoningDelta, StepFinish, TextDelta, ToolCall, ToolResult
from executors.folding import Folding
from tasks.engine.growth import Growth
from tests.api.following import parts_of

USAGE = Usage(input=1, output=2)


def grown(events: list[Event], looks: set[int]) -> tuple[list[dict[str, object]], Folding]:
    """Fold these, looking before those with these numbers; return what was told, with the rest."""
    folding, growth = Folding(lambda: 1), Growth("ses_a", "msg_a")
    told = []
    for number, event in enumerate(events):
        if number in looks:
            told += growth.look(folding, 1)
        folding.add(event)
    told += growth.rest(tuple(folding.parts()), 1)
    return told, folding


ANSWER: list[Event] = [
    ReasoningDelta("so "),
    ReasoningDelta("it is"),
    TextDelta("one "),
    TextDelta("two "),
    ToolCall("call_1", "read", {"path": "a"}),
    ToolCall("call_2", "read", {"path": "b"}),
    ToolResult("call_2", "of b"),
    ToolResult("call_1", error="no a"),
    StepFinish("tool-calls", USAGE),
    TextDelta("three"),
    StepFinish("stop", USAGE),
]


def test_whoever_looks_when_puts_the_same_parts_together() -> None:
    choices = random.Random(1)
    for _ in range(200):
        looks = {number for number in range(len(ANSWER)) if choices.random() < 0.5}
        told, folding = grown(ANSWER, looks)
        named = {"sessionID": "ses_a", "messageID": "msg_a"}
        assert list(parts_of(told).values()) == [{**part, **named} for part in folding.parts()]


def test_an_answer_that_nobody_looked_at_is_told_part_by_part_without_deltas() -> None:
    told, folding = grown(ANSWER, set())
    assert [event["type"] for event in told] == ["message.part.updated"] * len(folding.parts())


def test_a_text_is_told_empty_then_by_what_it_grows_then_whole() -> None:
    told, _ = grown([TextDelta("one "), TextDelta("two "), TextDelta("three"), StepFinish("stop", USAGE)], {1, 2, 3})
    texts = [event["properties"] for event in told]
    assert [each.get("delta", each.get("part", {}).get("text")) for each in texts] == [  # type: ignore[attr-defined]
        None,
        "",
        "one ",
        "two ",
        "three",
        "one two three",
        None,
    ]
    assert texts[1]["part"]["time"] == {"start": 1}  # type: ignore[index]
    assert texts[5]["part"]["time"] == {"start": 1, "end": 1}  # type: ignore[index]


def test_looking_when_nothing_came_tells_nothing() -> None:
    folding, growth = Folding(lambda: 1), Growth("ses_a", "msg_a")
    assert growth.look(folding, 1) == []
    folding.add(TextDelta("one"))
    assert len(growth.look(folding, 1)) == 3
    assert growth.look(folding, 1) == []


def test_what_was_told_of_a_tool_does_not_change_with_it() -> None:
    folding, growth = Folding(lambda: 1), Growth("ses_a", "msg_a")
    folding.add(ToolCall("call_1", "read", {}))
    told = growth.look(folding, 1)
    folding.add(ToolResult("call_1", "done"))
    folding.add(StepFinish("stop", USAGE))
    assert told[-1]["properties"]["part"]["state"] == {"status": "running", "input": {}, "time": {"start": 1}}
    again = growth.look(folding, 1)
    assert again[0]["properties"]["part"]["state"]["status"] == "completed"
    assert again[1]["properties"]["part"]["tokens"] == tokens(USAGE)
