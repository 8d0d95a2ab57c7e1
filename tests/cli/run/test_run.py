"""`promptq run` against the real API and engine, without a terminal."""

import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from domain.messages import Usage
from executors.base import (
    Event,
    PermanentError,
    ReasoningDelta,
    Request,
    StepFinish,
    TextDelta,
    ToolCall,
    ToolResult,
    TransientError,
)
from tests.api.following import House
from tests.support.cli_runs import Promptq, Run
from tests.support.commands import Command, clean_environment
from tests.support.waiting import eventually
from tests.tasks.scripted import END, Gate

FAILED, USAGE, CANCELLED = 1, 2, 3


async def with_tools(_: Request) -> AsyncIterator[Event]:
    yield ReasoningDelta("Let me\nsee.")
    yield ToolCall("c1", "bash", {"command": "ls"})
    yield ToolResult("c1", output="note.txt\n")
    yield ToolCall("c2", "read", {"filePath": "/x"})
    yield ToolResult("c2", error="no such file")
    yield StepFinish("tool-calls", Usage(input=1, output=1))
    yield TextDelta("There is ")
    yield TextDelta("a note.")
    yield END


async def second_try(request: Request) -> AsyncIterator[Event]:
    yield TextDelta(f"attempt {request.job.attempt}")
    if request.job.attempt == 1:
        raise TransientError("busy", "come back", retry_after_s=0.05)
    yield END


async def refusing(_: Request) -> AsyncIterator[Event]:
    yield TextDelta("Well, ")
    raise PermanentError("no", "the model said no")


def ran(promptq: Promptq, *arguments: str, stdin: bytes = b"") -> Run:
    """Run what must be answered."""
    run = promptq("run", *arguments, stdin=stdin)
    assert run.code == 0, run
    return run


def header(run: Run) -> str:
    line: str = run.err.splitlines()[0]
    assert line.startswith("> ")
    return line


def session_of(run: Run) -> str:
    """The session's ID as people are shown it."""
    return header(run).split(" · ")[2]


def parts_of(house: House, session_id: str, number: int = 0) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = house.client.get(f"/session/{session_id}/message").json()[number]["parts"]
    return parts


def sessions(house: House) -> list[dict[str, Any]]:
    listed = [house.client.get("/session", params={"ephemeral": kind}).json() for kind in ("false", "true")]
    return list({session["id"]: session for some in listed for session in some}.values())


# What comes out


def test_the_answer_is_on_stdout_and_everything_about_it_on_stderr(promptq: Promptq, house: House) -> None:
    house.scripts["look"] = with_tools
    run = ran(promptq, "look")
    assert run.out == "There is a note.\n"
    assert run.err.splitlines() == [
        header(run),
        *("Thinking: Let me", "see.", "$ ls", "note.txt"),
        *('⚙ read {"filePath": "/x"}', "no such file"),
    ]
    assert header(run).startswith("> build · echo/echo · ses_")


def test_of_an_attempt_that_broke_off_nothing_is_on_stdout(promptq: Promptq, house: House) -> None:
    house.scripts["try"] = second_try
    run = ran(promptq, "try")
    assert run.out == "attempt 2\n"


def test_a_prompt_that_fails_says_why(promptq: Promptq, house: House) -> None:
    house.scripts["refuse"] = refusing
    run = promptq("run", "refuse")
    assert (run.code, run.out) == (FAILED, "")
    assert run.err.splitlines()[-1].startswith("promptq: the prompt failed: the model said no; 'promptq job show job_")


def test_as_json_each_part_is_a_line_of_its_own_as_opencode_has_them(promptq: Promptq, house: House) -> None:
    house.scripts["look"] = with_tools
    run = ran(promptq, "look", "--format", "json")
    events = [json.loads(line) for line in run.out.splitlines()]
    assert [event["type"] for event in events] == [
        *("step_start", "reasoning", "tool_use", "tool_use", "step_finish"),
        *("step_start", "text", "step_finish"),
    ]
    assert all(set(event) == {"type", "timestamp", "sessionID", "part"} for event in events)
    assert {event["sessionID"] for event in events} == {events[0]["part"]["sessionID"]}
    assert events[6]["part"]["text"] == "There is a note."
    assert events[2]["part"]["state"]["output"] == "note.txt\n"
    assert run.err == ""


def test_as_json_a_failure_is_an_error_and_a_void_attempt_is_said(promptq: Promptq, house: House) -> None:
    house.scripts.update({"refuse": refusing, "try": second_try})
    failed = promptq("run", "refuse", "--format", "json")
    assert failed.code == FAILED
    last = json.loads(failed.out.splitlines()[-1])
    assert (last["type"], last["error"]["data"]["message"]) == ("error", "the model said no")
    events = [json.loads(line) for line in ran(promptq, "try", "--format", "json").out.splitlines()]
    valid = [event for event in events if event["type"] == "text"][-1]
    assert valid["part"]["text"] == "attempt 2"
    void = [event["messageID"] for event in events if event["type"] == "attempt_void"]
    assert {event["part"]["messageID"] for event in events if "part" in event} <= {valid["part"]["messageID"], *void}


def test_what_is_waited_for_long_gets_a_line(house: House, tmp_path: Path) -> None:
    gate = house.scripts["wait"] = Gate()
    first = house.prompt("wait", "ses_busy").headers["location"].rpartition("/")[2]
    eventually(lambda: gate.reached)
    command = ("-P", "-m", "cli.main", "run", "-s", "ses_busy", "second")
    with Command(*command, output=tmp_path / "output", environment=clean_environment(URL=house.url)) as run:
        run.says(f"promptq: queued behind {first} …\n")
        gate.open()
        assert run.ends() == 0
    assert run.output.count("queued behind") == 1
    assert run.output.endswith("\nsecond\n")


def test_somebody_else_cancels_the_prompt(promptq: Promptq, house: House) -> None:
    gate = house.scripts["wait"] = Gate()

    def cancel() -> None:
        eventually(lambda: gate.reached)
        (job,) = house.client.get("/job").json()
        house.client.post(f"/job/{job['id']}/cancel")

    with ThreadPoolExecutor() as pool:
        pool.submit(cancel)
        run = promptq("run", "wait")
    assert run.code == CANCELLED
    assert "was cancelled by somebody else" in run.err


# What goes in


def test_the_words_are_joined_and_what_is_piped_in_comes_after_them(promptq: Promptq, house: House) -> None:
    assert ran(promptq, "Review", "this:", stdin=b"a = 1\n").out == "Review this:\na = 1\n\n"
    assert ran(promptq, stdin="Größe".encode()).out == "Größe\n"


@pytest.mark.parametrize("stdin", [b"", b" \n"])
def test_without_a_prompt_nothing_is_asked(promptq: Promptq, house: House, stdin: bytes) -> None:
    assert "there is no prompt" in promptq.fails(USAGE, "run", stdin=stdin)
    assert sessions(house) == []


def test_stdin_that_is_no_text_is_refused(promptq: Promptq) -> None:
    assert "not UTF-8 text; attach" in promptq.fails(USAGE, "run", "look", stdin=b"\xff\xfe")


def test_files_are_attached_whole_each_with_its_type(promptq: Promptq, house: House, tmp_path: Path) -> None:
    contents = {
        "notes.md": b"# Notes",
        "picture.png": b"\x89PNG\r\n\x1a\n\0",
        "Makefile": "größer: x".encode(),
        "blob": b"\0\1\2\xff",
        "empty": b"",
    }
    options = []
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        options += ["-f", str(tmp_path / name)]
    run = ran(promptq, *options, "What is in these?")
    *files, text = parts_of(house, session_of(run))
    assert text["text"] == "What is in these?"
    assert [(part["filename"], part["mime"]) for part in files] == [
        ("notes.md", "text/markdown"),
        ("picture.png", "image/png"),
        ("Makefile", "text/plain"),
        ("blob", "application/octet-stream"),
        ("empty", "text/plain"),
    ]
    for part, content in zip(files, contents.values(), strict=True):
        assert base64.b64decode(part["url"].partition(";base64,")[2]) == content


def test_a_file_that_cannot_be_sent_is_named_before_anything_is_asked(
    promptq: Promptq, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no-such cannot be read: No such file" in promptq.fails(USAGE, "run", "x", "-f", str(tmp_path / "no-such"))
    assert "is not a file" in promptq.fails(USAGE, "run", "x", "-f", str(tmp_path))
    (tmp_path / "large").write_bytes(bytes(3_000_000))
    monkeypatch.setenv("PROMPTQ_BODY_LIMIT", str(2 * 1024 * 1024))
    said = promptq.fails(USAGE, "run", "x", "-f", str(tmp_path / "large"))
    assert "large and the text are 3.8 MiB as they are sent; the most is 2.0 MiB" in said
    assert sessions(house) == []


def test_model_and_agent_reach_the_server(promptq: Promptq, house: House) -> None:
    run = ran(promptq, "-m", "echo/echo", "--agent", "plan", "hello")
    assert header(run).startswith("> plan · echo/echo · ")
    assert "PROVIDER/MODEL" in promptq.fails(USAGE, "run", "-m", "echo", "hello")


def test_a_prompt_that_the_server_does_not_take_leaves_no_empty_session(promptq: Promptq, house: House) -> None:
    assert "unknown model 'echo/other'" in promptq.fails(USAGE, "run", "-m", "echo/other", "hello")
    assert sessions(house) == []
    house.client.post("/session", json={"id": "ses_mine"})
    promptq.fails(USAGE, "run", "-m", "echo/other", "-s", "ses_mine", "hello")
    assert [session["id"] for session in sessions(house)] == ["ses_mine"]


# Which session


def test_a_session_is_made_titled_by_the_prompt_and_gone_on_in(promptq: Promptq, house: House) -> None:
    first = ran(promptq, "What does the\ntide do when nobody looks at it, on a Sunday evening?")
    (session,) = sessions(house)
    assert session["id"] == session_of(first)
    assert session["title"] == "What does the tide do when nobody looks at it, on …"
    again = ran(promptq, "--continue", "And now?")
    assert session_of(again) == session["id"]
    assert session_of(ran(promptq, "-c", "--fork", "--title", "A copy", "Otherwise?")) != session["id"]
    assert sorted(session["title"] for session in sessions(house)) == ["A copy", session["title"]]
    assert len(parts_of(house, session["id"])) == 1


def test_a_named_session_is_made_or_resumed(promptq: Promptq, house: House) -> None:
    for text in ("one", "two"):
        assert session_of(ran(promptq, "--session", "ses_mine", text)) == "ses_mine"
    assert len(house.client.get("/session/ses_mine/message").json()) == 4


def test_a_new_session_must_be_new(promptq: Promptq, house: House) -> None:
    assert session_of(ran(promptq, "--session-id", "ses_mine", "--title", "Mine", "one")) == "ses_mine"
    said = promptq.fails(FAILED, "run", "--session-id", "ses_mine", "two")
    assert said == "there is a session ses_mine already; --session ses_mine resumes it."
    assert len(house.client.get("/session/ses_mine/message").json()) == 2
    said = promptq.fails(FAILED, "run", "--session", "ses_mine", "--fork", "--session-id", "ses_mine", "two")
    assert said == "there is a session ses_mine already; give the copy another ID."
    fork = ran(promptq, "--session", "ses_mine", "--fork", "--session-id", "ses_copy", "two")
    assert session_of(fork) == "ses_copy"
    assert len(house.client.get("/session/ses_copy/message").json()) == 4


def test_without_any_session_there_is_none_to_go_on_in(promptq: Promptq) -> None:
    assert "there is no session to go on in" in promptq.fails(FAILED, "run", "-c", "hello")


# Ephemeral runs


@pytest.mark.parametrize("option", ["--ephemeral", "--no-session"])
def test_an_ephemeral_run_is_answered_and_leaves_nothing(promptq: Promptq, house: House, option: str) -> None:
    run = ran(promptq, option, "Just this once")
    assert run.out == "Just this once\n"
    assert " · ephemeral" in header(run)
    assert sessions(house) == []


def test_an_ephemeral_run_that_fails_leaves_nothing(promptq: Promptq, house: House) -> None:
    house.scripts["refuse"] = refusing
    assert "the prompt failed: the model said no." in promptq("run", "--ephemeral", "refuse").err
    assert sessions(house) == []


def test_an_ephemeral_session_may_have_a_name(promptq: Promptq, house: House) -> None:
    ran(promptq, "--ephemeral", "--session-id", "ses_tmp_mine", "--attach", house.url, "hello")
    assert sessions(house) == []
    ran(promptq, "--session-id", "ses_tmp_mine", "hello")
    said = promptq.fails(FAILED, "run", "--ephemeral", "--session-id", "ses_tmp_mine", "hello")
    assert "there is a session ses_tmp_mine already" in said
    assert [session["id"] for session in sessions(house)] == ["ses_tmp_mine"]


def test_ephemeral_runs_count_in_the_figures_and_leave_no_word_there(promptq: Promptq, house: House) -> None:
    ran(promptq, "--ephemeral", "a-marker-that-nobody-else-writes")
    figures = house.client.get("/metrics").text
    assert 'promptq_prompts_admitted_total{disposition="admitted",kind="ephemeral"} 1' in figures
    assert "marker" not in figures
    assert "ses_tmp" not in figures


REFUSED = {
    "--continue": ["--continue"],
    "--session": ["--session", "ses_mine"],
    "--fork": ["--fork"],
    "--share": ["--share"],
}


@pytest.mark.parametrize("option", REFUSED)
@pytest.mark.parametrize("ephemeral", ["--ephemeral", "--no-session"])
def test_what_contradicts_itself_is_refused_before_any_request(
    promptq: Promptq, house: House, monkeypatch: pytest.MonkeyPatch, ephemeral: str, option: str
) -> None:
    monkeypatch.setenv("PROMPTQ_URL", "http://127.0.0.1:1")
    said = promptq.fails(USAGE, "run", ephemeral, *REFUSED[option], "hello")
    assert said == f"--ephemeral and {option} contradict each other: such a session begins and ends with its run."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--share"], "promptq publishes nothing"),
        (["-c", "-s", "ses_a"], "each name the session"),
        (["--fork"], "say of which, with --continue or --session"),
        (["-c", "--session-id", "ses_a"], "makes a new session"),
        (["-c", "--title", "T"], "--title is for a new session"),
        (["-s", "mine"], "--session must be 'ses_' followed by"),
        (["--ephemeral", "--session-id", "ses_a"], "starts 'ses_tmp_'"),
    ],
)
def test_senseless_wishes_are_refused(promptq: Promptq, arguments: list[str], said: str) -> None:
    assert said in promptq.fails(USAGE, "run", *arguments, "hello")


def test_advice_names_the_command_as_it_was_called(promptq: Promptq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTQ_CALLED", "./run")
    assert "'./run session id NAMESPACE KEY=VALUE' computes one" in promptq.fails(USAGE, "run", "-s", "mine", "hello")


def test_a_reader_that_has_seen_enough_is_no_trouble(house: House, tmp_path: Path) -> None:
    command = f"{sys.executable} -P -m cli.main run --ephemeral hello | true"
    environment = {**clean_environment(URL=house.url), "PYTHONUNBUFFERED": "1"}
    ended = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, check=True)
    assert "Traceback" not in ended.stderr
    eventually(lambda: sessions(house) == [])


def test_stdin_may_be_closed(house: House) -> None:
    command = f"{sys.executable} -P -m cli.main run hello <&-"
    ended = subprocess.run(
        ["sh", "-c", command], env=clean_environment(URL=house.url), capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "hello\n"), ended.stderr
