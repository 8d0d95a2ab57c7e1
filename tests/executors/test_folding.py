"""From events to parts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from domain.messages import Usage
from executors.base import Event, ReasoningDelta, StepFinish, TextDelta, ToolCall, ToolResult
from executors.folding import Folding
from tests.executors.requests import NOW

USAGE = Usage(input=3, output=2, reasoning=1, cache_read=5, cache_write=7)


@pytest.fixture
def clock() -> Callable[[], int]:
    times = iter(range(NOW, NOW + 1000))
    return lambda: next(times)


def folded(clock: Callable[[], int], *events: Event) -> Folding:
    folding = Folding(clock)
    for event in events:
        folding.add(event)
    return folding


def shapes(folding: Folding) -> list[dict[str, Any]]:
    return [{key: value for key, value in part.items() if key != "id"} for part in folding.parts()]


def test_deltas_of_one_kind_make_one_part(clock: Callable[[], int]) -> None:
    folding = folded(
        clock,
        ReasoningDelta("let me "),
        ReasoningDelta("think"),
        TextDelta("it "),
        TextDelta("is so"),
        StepFinish("stop", USAGE, 0.25),
    )
    assert shapes(folding) == [
        {"type": "step-start"},
        {"type": "reasoning", "text": "let me think", "time": {"start": NOW, "end": NOW + 1}},
        {"type": "text", "text": "it is so", "time": {"start": NOW + 2, "end": NOW + 3}},
        {
            "type": "step-finish",
            "reason": "stop",
            "cost": 0.25,
            "tokens": {"input": 3, "output": 2, "reasoning": 1, "cache": {"read": 5, "write": 7}},
        },
    ]
    assert (folding.usage, folding.cost, folding.finish, folding.is_whole) == (USAGE, 0.25, "stop", True)


def test_steps_add_up(clock: Callable[[], int]) -> None:
    folding = folded(
        clock,
        ToolCall("call_1", "weather", {"city": "Oslo"}),
        ToolResult("call_1", output="rain", title="Oslo"),
        StepFinish("tool-calls", USAGE, 0.5),
        TextDelta("It rains."),
        StepFinish("stop", USAGE, None),
    )
    assert [part["type"] for part in folding.parts()] == [
        "step-start",
        "tool",
        "step-finish",
        "step-start",
        "text",
        "step-finish",
    ]
    assert (folding.usage, folding.cost, folding.finish) == (USAGE.plus(USAGE), 0.5, "stop")


def test_an_answer_that_broke_off_is_not_whole(clock: Callable[[], int]) -> None:
    assert not folded(clock).is_whole
    assert not folded(clock, TextDelta("half an ans")).is_whole
    assert not folded(clock, TextDelta("a"), StepFinish("tool-calls", USAGE), TextDelta("b")).is_whole


def test_what_there_is_can_be_taken_at_any_time_and_the_answer_goes_on(clock: Callable[[], int]) -> None:
    folding = folded(clock, TextDelta("one "))
    assert [part.get("text") for part in folding.parts()] == [None, "one "]
    folding.add(TextDelta("two"))
    assert [part.get("text") for part in folding.parts()] == [None, "one ", "two"]


def test_a_tool_that_still_ran_was_interrupted(clock: Callable[[], int]) -> None:
    folding = folded(clock, ToolCall("call_1", "bash", {"command": "true"}))
    assert folding.parts()[1]["state"]["status"] == "error"


def test_parts_have_ids_that_rise(clock: Callable[[], int]) -> None:
    folding = folded(clock, TextDelta("a"), ReasoningDelta("b"), StepFinish("stop", USAGE))
    ids = [part["id"] for part in folding.parts()]
    assert ids == sorted(set(ids))


def test_parts_have_opencodes_shapes(clock: Callable[[], int], opencode_document: dict[str, Any]) -> None:
    folding = folded(
        clock,
        ReasoningDelta("hm"),
        TextDelta("a"),
        ToolCall("call_1", "bash", {"command": "true"}),
        ToolResult("call_1", output="", title="true"),
        ToolCall("call_2", "bash", {"command": "false"}),
        ToolResult("call_2", error="exit 1"),
        StepFinish("stop", USAGE),
    )
    schema = {"$ref": "#/components/schemas/Part", "components": opencode_document["components"]}
    for part in folding.parts():
        jsonschema.validate({**part, "sessionID": "ses_1", "messageID": "msg_1"}, schema)


@pytest.fixture(scope="session")
def opencode_document() -> dict[str, Any]:
    """OpenCode's own description of its API."""
    path = Path(__file__).parents[1] / "data" / "opencode-sessions.json"
    document: dict[str, Any] = json.loads(path.read_text())
    return document
