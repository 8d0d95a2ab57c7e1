"""The answer put together from events: each piece is said once, whatever comes twice, late or not at all."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cli.run.answer import Answer, Begun, Change, Grown, Json, PartNow, Withdrawn

PROMPT, MESSAGE = "msg_prompt", "msg_answer"
TEXT = "The tide comes in.\nThen it goes out."


def info(message_id: str = MESSAGE, parent: str = PROMPT, **more: Any) -> Json:
    return {"id": message_id, "role": "assistant", "parentID": parent, "time": {"created": 1}, **more}


def message(**more: Any) -> Json:
    return {"type": "message.updated", "properties": {"info": info(**more)}}


def part(text: str, *, part_id: str = "prt_1", kind: str = "text", done: bool = False, of: str = MESSAGE) -> Json:
    time = {"start": 1, "end": 2} if done else {"start": 1}
    return {"id": part_id, "type": kind, "text": text, "time": time, "messageID": of}


def updated(part: Json) -> Json:
    return {"type": "message.part.updated", "properties": {"part": part}}


def delta(text: str, part_id: str = "prt_1", of: str = MESSAGE) -> Json:
    return {"type": "message.part.delta", "properties": {"messageID": of, "partID": part_id, "delta": text}}


def removed(message_id: str = MESSAGE) -> Json:
    return {"type": "message.removed", "properties": {"messageID": message_id}}


def kept(*parts: Json, **more: Any) -> Json:
    return {"info": info(**more), "parts": list(parts)}


def said(changes: list[Change]) -> str:
    return "".join(change.text for change in changes if isinstance(change, Grown))


def take(answer: Answer, *events: Json) -> list[Change]:
    return [change for event in events for change in answer.take(event)]


def test_a_text_grows_by_its_deltas_and_is_done_once() -> None:
    answer = Answer(PROMPT)
    changes = take(
        answer, message(), updated(part("")), delta("The "), delta("tide"), updated(part("The tide", done=True))
    )
    assert [type(change) for change in changes] == [Begun, Grown, Grown, PartNow]
    assert said(changes) == "The tide"
    assert answer.settle(kept(part("The tide", done=True))) == []


def test_what_others_say_in_the_session_is_left_out() -> None:
    answer = Answer(PROMPT)
    other = message(message_id="msg_other", parent="msg_earlier")
    assert take(answer, other, updated(part("not mine", of="msg_other")), delta("nor this", of="msg_other")) == []


def test_parts_that_come_before_their_message_wait_for_it() -> None:
    answer = Answer(PROMPT)
    assert take(answer, updated(part("early", done=True))) == []
    assert said(take(answer, message())) == "early"


def test_a_stream_that_tells_everything_again_adds_nothing() -> None:
    answer = Answer(PROMPT)
    stream = [message(), updated(part("")), delta("The "), delta("tide ")]
    assert said(take(answer, *stream)) == "The tide "
    assert said(take(answer, *stream, delta("turns"))) == "turns"


def test_what_a_stream_has_lost_comes_with_the_part_and_in_order() -> None:
    answer = Answer(PROMPT)
    changes = take(answer, message(), updated(part("")), delta("The "), updated(part("The tide turns", done=True)))
    assert said(changes) == "The tide turns"
    assert take(answer, delta("late")) == []


def test_an_answer_that_no_event_told_of_is_told_by_what_is_kept() -> None:
    changes = Answer(PROMPT).settle(
        kept(part(TEXT, done=True), part("why", part_id="prt_2", kind="reasoning", done=True))
    )
    assert isinstance(changes[0], Begun)
    assert said(changes) == TEXT + "why"


def test_an_attempt_that_breaks_off_is_withdrawn_and_the_next_one_told_whole() -> None:
    answer = Answer(PROMPT)
    take(answer, message(), updated(part("")), delta("half of "))
    assert take(answer, removed()) == [Withdrawn(MESSAGE)]
    assert take(answer, delta("it, late"), message()) == []
    changes = take(answer, message(message_id="msg_2"), updated(part("whole", part_id="prt_2", done=True, of="msg_2")))
    assert said(changes) == "whole"
    assert answer.settle(kept(part("whole", part_id="prt_2", done=True), message_id="msg_2")) == []


def test_something_else_is_kept_than_was_told() -> None:
    answer = Answer(PROMPT)
    take(answer, message(), updated(part("")), delta("a guess"))
    changes = answer.settle(kept(part("the truth", part_id="prt_9", done=True)))
    assert [type(change) for change in changes] == [Withdrawn, Begun, Grown, PartNow]
    assert said(changes) == "the truth"


def test_a_tool_is_told_when_it_begins_and_when_it_ends() -> None:
    def tool(status: str) -> Json:
        state = {"status": status, "input": {"command": "ls"}}
        return {"id": "prt_1", "type": "tool", "tool": "bash", "state": state, "messageID": MESSAGE}

    answer = Answer(PROMPT)
    changes = take(answer, message(), updated(tool("running")), updated(tool("completed")), updated(tool("completed")))
    assert [change.is_done for change in changes if isinstance(change, PartNow)] == [False, True]


def test_the_end_is_seen_in_the_message() -> None:
    answer = Answer(PROMPT)
    take(answer, message())
    assert not answer.is_over
    take(answer, message(time={"created": 1, "completed": 2}))
    assert answer.is_over


@given(st.data())
def test_however_a_stream_is_cut_and_resumed_the_text_is_said_once(data: st.DataObject) -> None:
    words = data.draw(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=8))
    whole = "".join(words)
    stream = [message(), updated(part("")), *(delta(word) for word in words), updated(part(whole, done=True))]
    answer, changes = Answer(PROMPT), []
    at = 0
    for _ in range(data.draw(st.integers(0, 4))):
        until = data.draw(st.integers(at, len(stream)))
        changes += take(answer, *stream[at:until])
        # It goes on where it was, or a little before, at the beginning of a bundle; or with the part as it is now.
        at = data.draw(st.sampled_from([until, 0]))
        if until > 1 and data.draw(st.booleans()):
            changes += take(answer, message(), updated(part("".join(words[: max(0, min(until, len(words) + 2) - 2)]))))
            at = until
    changes += take(answer, *stream[at:])
    changes += answer.settle(kept(part(whole, done=True)))
    assert said(changes) == whole
    assert not [change for change in changes if isinstance(change, Withdrawn)]
    assert len([change for change in changes if isinstance(change, PartNow)]) == 1
