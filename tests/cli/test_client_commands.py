"""`promptq prompt`, `job` and `session` against the real API."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import running
from cli.client import Client
from cli.running import Running
from cli.server_address import ServerAddress
from cli.supervisor.processes import identify
from domain.clock import system_clock
from domain.ids import new_message_id
from tests.support.answering_server import FAIL, AnsweringServer
from tests.support.cli_runs import Promptq
from tests.support.waiting import eventually

FAILED, USAGE, CANCELLED, EXPIRED, WAIT_TIMED_OUT = 1, 2, 3, 4, 5


@pytest.fixture(scope="module")
def server() -> Iterator[AnsweringServer]:
    with AnsweringServer() as running:
        yield running


@pytest.fixture
def idle_server() -> Iterator[AnsweringServer]:
    """A server that answers nothing until it is told to."""
    with AnsweringServer(answers=False) as running:
        yield running


@pytest.fixture
def promptq(
    server: AnsweringServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Promptq:
    for name in ("PROMPTQ_KEY", "PROMPTQ_PASSWORD", "PROMPTQ_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROMPTQ_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("PROMPTQ_URL", server.url)
    return Promptq(monkeypatch, capsys)


@pytest.fixture
def session(request: pytest.FixtureRequest) -> str:
    """A session ID that only this test uses."""
    return f"ses_{new_message_id()}"


# Prompts


def test_a_prompt_makes_the_session_waits_and_prints_the_answer(promptq: Promptq, session: str) -> None:
    assert promptq.does("prompt", session, "What is the tide doing?") == "What is the tide doing?"
    assert promptq.does("prompt", session, "And now?") == "And now?"
    shown = promptq("session", "show", session, "--json").json
    assert [message["info"]["role"] for message in shown["messages"]] == ["user", "assistant"] * 2


@pytest.mark.parametrize("text", [["-"], []])
def test_a_prompt_is_read_from_stdin_whole(promptq: Promptq, session: str, text: list[str]) -> None:
    said = "Erste Zeile: Größe\n\n  third line\n"
    assert promptq.does("prompt", session, *text, stdin=said.encode()) == said


def test_stdin_is_left_alone_when_the_prompt_is_given(promptq: Promptq, session: str) -> None:
    assert promptq.does("prompt", session, "given", stdin=b"for somebody else") == "given"


def test_without_waiting_the_jobs_id_is_printed_at_once(promptq: Promptq, session: str) -> None:
    job = promptq.does("prompt", session, "later", "--no-wait")
    assert job.startswith("job_")
    assert promptq.does("job", "wait", job) == "later"


def test_the_same_prompt_under_the_same_name_runs_once(promptq: Promptq, session: str) -> None:
    for name in (["--message-id", "msg_tide"], ["--idempotency-key", "the tide, please"]):
        first, second = (promptq("prompt", session, "once", *name, "--json").json for _ in range(2))
        assert first["jobID"] == second["jobID"]
        assert (first["text"], second["text"]) == ("once", "once")
        assert second["session"] == "resumed"
    assert len(promptq("job", "list", "--session", session).rows) == 2


def test_another_prompt_under_the_same_name_is_a_conflict(promptq: Promptq, session: str) -> None:
    promptq.does("prompt", session, "once", "--message-id", "msg_tide")
    assert "was used for other content" in promptq.fails(FAILED, "prompt", session, "twice", "--message-id", "msg_tide")


def test_every_option_of_a_prompt_reaches_the_server(promptq: Promptq, session: str) -> None:
    soon = system_clock() + 500_000
    job_id = promptq.does(
        *("prompt", session, "all of it", "--no-wait", "--model", "echo/echo", "--priority", "9", "--timeout", "7.5"),
        *("--max-attempts", "2", "--not-before", str(soon), "--expires-at", str(soon + 1000), "--system", "Be brief."),
        *("--if-missing", "create", "--when-busy", "queue", "--title", "All of it", "--message-id", "msg_all"),
    )
    shown = promptq("job", "show", job_id, "--json").json
    assert (shown["model"], shown["priority"], shown["maxAttempts"]) == ("echo/echo", 9, 2)
    assert (shown["time"]["notBefore"], shown["time"]["expiresAt"]) == (soon, soon + 1000)
    kept = promptq("session", "show", session, "--json").json
    assert kept["session"]["title"] == "All of it"
    assert kept["messages"][0]["info"]["system"] == "Be brief."
    assert kept["messages"][0]["info"]["id"] == "msg_all"
    promptq.does("job", "cancel", job_id)


def test_a_prompt_that_fails_says_why_and_how_to_try_again(promptq: Promptq, session: str) -> None:
    said = promptq.fails(FAILED, "prompt", session, FAIL)
    assert "failed after 1 attempt: the model said no; 'promptq job retry job_" in said


def test_as_json_a_failed_prompt_is_printed_whole_and_fails_as_well(promptq: Promptq, session: str) -> None:
    run = promptq("prompt", session, FAIL, "--json")
    assert run.code == FAILED
    assert run.json["job"]["state"] == "failed"
    assert run.json["job"]["error"] == {"code": "provider_error", "message": "the model said no"}
    assert run.json["text"] == ""


def test_a_prompt_that_missed_its_time_has_expired(promptq: Promptq, session: str) -> None:
    said = promptq.fails(EXPIRED, "prompt", session, "too late", "--expires-at", str(system_clock() - 1000))
    assert "expired" in said


def test_waiting_ends_when_its_time_is_over_and_the_prompt_goes_on(
    promptq: Promptq, session: str, idle_server: AnsweringServer
) -> None:
    asked = ("prompt", session, "patience", "--url", idle_server.url)
    said = promptq.fails(WAIT_TIMED_OUT, *asked, "--message-id", "msg_1", "--wait-timeout", "0.05")
    assert "is queued" in said
    assert "'promptq job wait job_" in said
    idle_server.begin_to_answer()
    assert promptq.does(*asked, "--message-id", "msg_1") == "patience"


def test_a_cancelled_prompt_has_an_exit_code_of_its_own(
    promptq: Promptq, session: str, idle_server: AnsweringServer
) -> None:
    here = ("--url", idle_server.url)
    job = promptq.does("prompt", session, "never mind", "--no-wait", "--message-id", "msg_1", *here)
    assert promptq.does("job", "cancel", job, *here) == "cancelled"
    assert promptq.does("job", "cancel", job, *here) == "cancelled"
    assert "was cancelled" in promptq.fails(CANCELLED, "job", "wait", job, *here)
    assert "was cancelled" in promptq.fails(CANCELLED, "prompt", session, "never mind", "--message-id", "msg_1", *here)


def test_a_repeat_gets_its_answer_when_the_jobs_record_is_past_retention(
    promptq: Promptq, session: str, idle_server: AnsweringServer
) -> None:
    idle_server.begin_to_answer()
    asked = ("prompt", session, "old news", "--message-id", "msg_1", "--url", idle_server.url)
    promptq.does(*asked)
    eventually(lambda: idle_server.store.prune(older_than_ms=0, limit=10), what="the record is pruned")
    assert promptq.does(*asked) == "old news"


def test_continue_only_fails_where_there_is_no_session(promptq: Promptq, session: str) -> None:
    said = promptq.fails(FAILED, "prompt", session, "go on", "--if-missing", "fail")
    assert f"Session not found: {session}" in said


def test_a_busy_session_can_be_refused(promptq: Promptq, session: str, idle_server: AnsweringServer) -> None:
    here = ("--url", idle_server.url)
    promptq.does("prompt", session, "first", "--no-wait", *here)
    assert "is busy" in promptq.fails(FAILED, "prompt", session, "second", "--when-busy", "reject", *here)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["reviewer", "hello"], "SESSION must be 'ses_'"),
        (["ses_a/b", "hello"], "SESSION must be 'ses_'"),
        (["ses_" + "x" * 200, "hello"], "SESSION must be 'ses_'"),
        (["ses_a", ""], "the prompt is empty"),
        (["ses_a", "-"], "the prompt is empty"),
        (["ses_a", "hello", "--model", "echo"], "--model is PROVIDER/MODEL"),
        (["ses_a", "hello", "--model", "acme/large"], "unknown model 'acme/large'"),
        (["ses_a", "hello", "--not-before", "tomorrow"], "--not-before: 'tomorrow' is not a time"),
        (["ses_a", "hello", "--expires-at", "2030-01-01T00:00"], "does not say its time zone"),
        (["ses_a", "hello", "--message-id", "prompt-1"], "messageID"),
        (["ses_a", "hello", "--timeout", "0"], "timeout"),
        (["ses_a", "hello", "--title", "A", "--if-missing", "fail"], "leave one of them out"),
        (["ses_a", "hello", "--url", "ftp://here"], "is not a server's URL"),
        (["ses_a", "hello", "--url", "http://me:secret@here"], "set PROMPTQ_KEY or PROMPTQ_PASSWORD instead"),
    ],
)
def test_what_is_wrong_in_itself_is_a_matter_of_usage(promptq: Promptq, arguments: list[str], says: str) -> None:
    assert says in promptq.fails(USAGE, "prompt", *arguments)


def test_stdin_that_is_not_text_is_refused(promptq: Promptq) -> None:
    assert "not UTF-8" in promptq.fails(USAGE, "prompt", "ses_a", stdin=b"\xff\xfe")


def test_an_option_that_does_not_exist_is_a_matter_of_usage(promptq: Promptq) -> None:
    assert promptq("prompt", "ses_a", "hello", "--urgent").code == USAGE
    assert promptq("prompt", "ses_a", "hello", "--priority", "10").code == USAGE


# Jobs


def test_jobs_are_listed_the_newest_first_as_lines_for_programs(promptq: Promptq, session: str) -> None:
    first = promptq.does("prompt", session, "one", "--no-wait")
    second = promptq.does("prompt", session, FAIL, "--no-wait")
    promptq("job", "wait", second)
    rows = promptq("job", "list", "--session", session).rows
    assert [row[:4] for row in rows] == [
        [second, session, "failed", "1"],
        [first, session, "succeeded", "1"],
    ]
    assert promptq("job", "list", "--session", session, "--limit", "1").rows == rows[:1]
    assert promptq("job", "list", "--session", session, "--state", "succeeded").rows == rows[1:]
    both = promptq("job", "list", "--session", session, "--state", "succeeded", "--state", "failed", "--json").json
    assert [job["id"] for job in both] == [second, first]


def test_a_job_is_shown_with_its_attempts_and_its_error(promptq: Promptq, session: str) -> None:
    job = promptq.does("prompt", session, FAIL, "--no-wait")
    promptq("job", "wait", job)
    facts = dict(promptq("job", "show", job).rows)
    assert facts["job"] == job
    assert facts["session"] == session
    assert facts["state"] == "failed"
    assert facts["error"] == "provider_error: the model said no"
    assert "failed" in facts["attempt 1"]


def test_a_queued_job_says_what_it_waits_for(promptq: Promptq, session: str, idle_server: AnsweringServer) -> None:
    here = ("--url", idle_server.url)
    first = promptq.does("prompt", session, "one", "--no-wait", *here)
    second = promptq.does("prompt", session, "two", "--no-wait", *here)
    assert dict(promptq("job", "show", first, *here).rows)["state"] == "queued until a worker is free"
    assert dict(promptq("job", "show", second, *here).rows)["state"] == f"queued behind {first}"


def test_a_job_tried_anew_is_a_new_job(promptq: Promptq, session: str, idle_server: AnsweringServer) -> None:
    here = ("--url", idle_server.url)
    old = promptq.does("prompt", session, "again, please", "--no-wait", *here)
    promptq.does("job", "cancel", old, *here)
    new = promptq.does("job", "retry", old, *here)
    assert new != old
    idle_server.begin_to_answer()
    assert promptq.does("job", "wait", new, *here) == "again, please"
    assert promptq("job", "show", new, "--json", *here).json["retryOf"] == old
    assert "only failed, cancelled and expired" in promptq.fails(FAILED, "job", "retry", new, *here)


def test_a_job_that_is_not_there_is_said_in_a_sentence(promptq: Promptq) -> None:
    for verb in ("show", "cancel", "retry", "wait"):
        assert promptq.fails(FAILED, "job", verb, "job_nowhere") == "Job not found: job_nowhere"
        assert "job_" in promptq.fails(USAGE, "job", verb, "ses_a")


# Sessions


def test_sessions_are_listed_shown_and_deleted(promptq: Promptq, session: str) -> None:
    promptq.does("prompt", session, "hello there", "--title", f"About\t{session}")
    (row,) = promptq("session", "list", "--search", session).rows
    assert row[:2] == [session, f"About {session}"]
    assert promptq("session", "list", "--search", session, "--json").json[0]["id"] == session
    shown = promptq.does("session", "show", session)
    assert shown.count("hello there") == 2
    promptq.does("session", "delete", session)
    assert f"Session not found: {session}" in promptq.fails(FAILED, "session", "show", session)
    assert f"Session not found: {session}" in promptq.fails(FAILED, "session", "delete", session)


def test_a_fork_has_what_was_said_before(promptq: Promptq, session: str) -> None:
    promptq.does("prompt", session, "one")
    promptq.does("prompt", session, "two", "--message-id", "msg_two")
    whole = promptq.does("session", "fork", session)
    part = promptq.does("session", "fork", session, "--id", f"{session}-part", "--before", "msg_two")
    assert part == f"{session}-part"
    assert promptq.does("session", "fork", session, "--id", part, "--before", "msg_two") == part
    assert len(promptq("session", "show", whole, "--json").json["messages"]) == 4
    assert len(promptq("session", "show", part, "--json").json["messages"]) == 2
    said = promptq.fails(FAILED, "session", "fork", session, "--id", part)
    assert part in said


# The server's address


def test_the_server_is_the_one_that_runs_in_the_data_directory(
    promptq: Promptq, server: AnsweringServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PROMPTQ_URL")
    directory = tmp_path / "data"
    directory.mkdir()
    me = identify(os.getpid())
    assert me is not None
    running.publish(directory, Running(me.pid, me.started, server.url, None, str(directory)))
    assert promptq("job", "list").code == 0


def test_without_a_server_the_sentence_says_how_to_start_one(
    promptq: Promptq, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    port = free_port()
    monkeypatch.delenv("PROMPTQ_URL")
    monkeypatch.setenv("PROMPTQ_PORT", str(port))
    said = promptq.fails(FAILED, "job", "list")
    assert f"http://127.0.0.1:{port} (from the default)" in said
    assert "'promptq up'" in said


def test_a_setting_that_cannot_be_read_is_named(promptq: Promptq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTQ_PORT", "none")
    assert "PROMPTQ_PORT" in promptq.fails(USAGE, "job", "list")


def test_the_password_comes_from_the_environment(promptq: Promptq, monkeypatch: pytest.MonkeyPatch) -> None:
    with AnsweringServer(password="open sesame") as server:
        here = ("--url", server.url)
        assert "set PROMPTQ_KEY to yours, or PROMPTQ_PASSWORD" in promptq.fails(FAILED, "job", "list", *here)
        monkeypatch.setenv("PROMPTQ_PASSWORD", "open barley")
        assert "does not take the password" in promptq.fails(FAILED, "job", "list", *here)
        monkeypatch.setenv("PROMPTQ_PASSWORD", "open sesame")
        assert promptq.does("prompt", "ses_cave", "let me in", *here) == "let me in"
        with Client(ServerAddress(server.url, "a test", "open sesame")) as client:
            assert len(client.jobs(limit=5)) == 1
