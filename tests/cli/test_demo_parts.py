"""What `promptq demo` is made of: its prompts, and the checks that decide whether it says that all is well."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.demo import checks, prompts
from cli.demo.prompts import Line
from domain.ids import check_message_id, check_session_id, session_id_from

ROOT = Path(__file__).resolve().parents[2]
LINES = [
    Line("ses_a", "msg_1", "one", {}),
    Line("ses_b", "msg_1", "two", {}),
    Line("ses_a", "msg_2", "three", {}),
]


def test_the_example_prompts_are_what_their_script_writes() -> None:
    written = subprocess.run(
        [sys.executable, ROOT / "examples/prompts.py"], capture_output=True, timeout=30, check=True
    ).stdout
    assert (ROOT / "examples/prompts.jsonl").read_bytes() == written, "see examples/prompts.py for how to write it"


def test_the_example_prompts_are_of_several_sessions_with_several_turns() -> None:
    lines = prompts.read()
    sessions = prompts.by_session(lines)
    assert 35 <= len(lines) <= 50
    assert len(sessions) >= 6
    assert all(len(turns) >= 3 for turns in sessions.values())
    assert len({line.prompt for line in lines}) == len(lines)


def test_the_example_sessions_follow_from_their_parameters() -> None:
    for line in prompts.read():
        assert line.session == session_id_from("promptq.examples", line.metadata)
        check_session_id(line.session)
        check_message_id(line.message_id)


def message(role: str, message_id: str, text: str, **info: Any) -> dict[str, Any]:
    return {"info": {"role": role, "id": message_id, **info}, "parts": [{"type": "text", "text": text}]}


def turn(message_id: str, text: str) -> list[dict[str, Any]]:
    return [message("user", message_id, text), message("assistant", "msg_x", text, parentID=message_id)]


def good_messages() -> dict[str, list[dict[str, Any]]]:
    return {"ses_a": [*turn("msg_1", "one"), *turn("msg_2", "three")], "ses_b": turn("msg_1", "two")}


def job(seq: int, session: str, started: int, ended: int, **more: Any) -> dict[str, Any]:
    time = {"created": 0, "started": started, "ended": ended}
    facts = {"id": f"job_{session}{seq}", "messageID": f"msg_{seq}", "state": "succeeded", "attempt": 1}
    return {**facts, "sessionID": session, "seq": seq, "time": time, **more}


JOBS = [job(2, "ses_a", 30, 40), job(1, "ses_b", 10, 20), job(1, "ses_a", 10, 30)]
ACCEPTED = ["job_ses_a1", "job_ses_b1", "job_ses_a2"]


def test_nothing_is_complained_of_where_all_is_well() -> None:
    assert checks.answers(LINES, good_messages()) == []
    assert checks.order(JOBS) == []
    assert checks.once(ACCEPTED, JOBS) == []
    assert checks.unchanged((JOBS, good_messages()), (JOBS, good_messages())) == []


@pytest.mark.parametrize(
    ("messages", "complaint"),
    [
        ([*turn("msg_1", "one")], "2 prompts, but 2 messages"),
        ([*turn("msg_1", "one"), *turn("msg_2", "three"), *turn("msg_2", "three")], "2 prompts, but 6 messages"),
        ([*turn("msg_2", "three"), *turn("msg_1", "one")], "msg_2 is where msg_1 should be"),
        ([*turn("msg_1", "one"), *turn("msg_2", "tree")], "msg_2 has no answer, or a wrong one"),
        (
            [*turn("msg_1", "one"), turn("msg_2", "three")[0], turn("msg_1", "three")[1]],
            "what follows msg_2 is not its answer",
        ),
        (
            [
                *turn("msg_1", "one"),
                turn("msg_2", "three")[0],
                message("assistant", "msg_x", "three", parentID="msg_2", error={"name": "UnknownError"}),
            ],
            "msg_2 has no answer",
        ),
    ],
)
def test_an_answer_that_is_missing_doubled_misplaced_or_wrong_is_seen(
    messages: list[dict[str, Any]], complaint: str
) -> None:
    assert complaint in checks.answers(LINES, {**good_messages(), "ses_a": messages})[0]


def test_a_prompt_that_began_too_early_is_seen() -> None:
    (said,) = checks.order([job(2, "ses_a", 29, 40), job(1, "ses_a", 10, 30)])
    assert "msg_2 began before msg_1 ended" in said


def test_a_job_without_success_is_seen() -> None:
    assert checks.order([job(1, "ses_a", 1, 2, state="failed")]) == ["job_ses_a1 is failed"]


def test_jobs_too_many_or_too_few_are_seen() -> None:
    assert checks.once(ACCEPTED, JOBS[:2]) == ["3 prompts became 2 jobs"]
    assert checks.once([*ACCEPTED[:2], ACCEPTED[0]], JOBS) == ["3 prompts became 3 jobs"]


def test_a_second_pass_that_changed_anything_is_seen() -> None:
    more = {**good_messages(), "ses_b": turn("msg_1", "two") * 2}
    changed = [*JOBS[:2], job(1, "ses_a", 10, 30, attempt=2)]
    assert len(checks.unchanged((JOBS, good_messages()), (changed, more))) == 2
