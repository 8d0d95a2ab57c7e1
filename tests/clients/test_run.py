"""`opencode run --attach`, unmodified: it prints the answer and ends with 0, else as with its own server."""

from pathlib import Path

import pytest

from tests.clients.conftest import PASSWORD, Server
from tests.clients.opencode import OpenCode
from tests.support.waiting import eventually


def newest(server: Server) -> str:
    return server.sessions()[0]


def test_it_prints_the_answer_and_ends_with_0(server: Server, opencode: OpenCode) -> None:
    ran = opencode("run", "--attach", server.url, "hello there")
    assert (ran.code, ran.out) == (0, '"hello there"\n'), ran
    assert "> build · echo" in ran.err
    assert server.said(newest(server)) == ['"hello there"', '"hello there"']


def test_a_long_answer_is_printed_whole(server: Server, opencode: OpenCode) -> None:
    text = " ".join(f"word{number}" for number in range(3000))
    ran = opencode("run", "--attach", server.url, said=text)
    assert ran.code == 0, ran
    assert ran.out.split() == text.split()


@pytest.mark.parametrize("number", range(5))
def test_no_answer_is_lost_between_events_and_reply(server: Server, opencode: OpenCode, number: int) -> None:
    """The command prints what events say, and leaves as soon as its prompt is answered."""
    ran = opencode("run", "--attach", server.url, f"try-{number}")
    assert (ran.code, ran.out) == (0, f"try-{number}\n"), ran


def test_a_session_can_be_named_before_it_exists(server: Server, opencode: OpenCode) -> None:
    for text in ("first", "second"):
        ran = opencode("run", "--attach", server.url, "-s", "ses_mine", text)
        assert (ran.code, ran.out) == (0, f"{text}\n"), ran
    assert server.said("ses_mine") == ["first", "first", "second", "second"]


def test_the_last_session_is_continued_or_forked(server: Server, opencode: OpenCode) -> None:
    opencode("run", "--attach", server.url, "-s", "ses_continued", "one")
    assert opencode("run", "--attach", server.url, "-c", "two").out == "two\n"
    assert server.said("ses_continued")[-1] == "two"
    forked = opencode("run", "--attach", server.url, "-c", "--fork", "three")
    assert (forked.code, forked.out) == (0, "three\n"), forked
    assert newest(server) != "ses_continued"
    assert server.said(newest(server)) == ["one", "one", "two", "two", "three", "three"]
    assert len(server.said("ses_continued")) == 4
    named = opencode("run", "--attach", server.url, "-s", "ses_continued", "--fork", "four")
    assert named.code == 0
    assert len(server.said(newest(server))) == 6


def test_a_file_goes_along(server: Server, opencode: OpenCode) -> None:
    path = opencode.directory / "note.txt"
    path.write_text("a note\n")
    ran = opencode("run", "--attach", server.url, "-s", "ses_file", "see", "-f", str(path))
    assert ran.code == 0, ran
    assert ran.out == "[file note.txt, text/plain]\nsee\n"
    message = server.get("/session/ses_file/message")[0]
    assert message["parts"][0]["url"] == "data:text/plain;base64,YSBub3RlCg=="


def test_a_title_is_given(server: Server, opencode: OpenCode) -> None:
    assert opencode("run", "--attach", server.url, "--title", "My title", "hi").code == 0
    assert server.get(f"/session/{newest(server)}")["title"] == "My title"


def test_json_is_one_object_an_event(server: Server, opencode: OpenCode) -> None:
    ran = opencode("run", "--attach", server.url, "--format", "json", "hello")
    assert ran.code == 0, ran
    assert [each["type"] for each in ran.events] == ["step_start", "text", "step_finish"]
    assert ran.events[1]["part"]["text"] == "hello"
    assert {each["sessionID"] for each in ran.events} == {newest(server)}


def test_thinking_is_taken(server: Server, opencode: OpenCode) -> None:
    ran = opencode("run", "--attach", server.url, "--thinking", "hi")
    assert (ran.code, ran.out) == (0, "hi\n"), ran


def test_a_model_is_chosen_and_one_that_is_not_there_is_an_error(server: Server, opencode: OpenCode) -> None:
    ran = opencode("run", "--attach", server.url, "-m", "echo/echo", "hi")
    assert (ran.code, ran.out) == (0, "hi\n"), ran
    wrong = opencode("run", "--attach", server.url, "-m", "nobody/nothing", "hi")
    assert (wrong.code, wrong.out) == (1, "")
    assert "unknown model 'nobody/nothing'" in wrong.err


def test_an_agent_is_chosen_and_one_that_is_not_there_falls_back(server: Server, opencode: OpenCode) -> None:
    assert opencode("run", "--attach", server.url, "--agent", "build", "hi").out == "hi\n"
    unknown = opencode("run", "--attach", server.url, "--agent", "nobody", "hi")
    assert (unknown.code, unknown.out) == (0, "hi\n")
    assert 'agent "nobody" not found. Falling back to default agent' in unknown.err


def test_a_share_is_not_offered_and_the_run_goes_on(server: Server, opencode: OpenCode) -> None:
    ran = opencode("run", "--attach", server.url, "--share", "hi")
    assert (ran.code, ran.out) == (0, "hi\n"), ran


def test_a_command_is_not_offered_and_says_so(server: Server, opencode: OpenCode) -> None:
    ran = opencode("run", "--attach", server.url, "--command", "init", "hi")
    assert ran.code == 1
    assert "does not offer" in ran.err


def test_an_unknown_session_ends_as_with_opencodes_server(guarded: Server, opencode: OpenCode) -> None:
    ran = opencode("run", "--attach", guarded.url, "-p", PASSWORD, "-s", "ses_none", "hi")
    assert (ran.code, ran.out, ran.err.strip()) == (1, "", "Error: Session not found")
    assert guarded.get("/session") == [] or "ses_none" not in guarded.sessions()


def test_a_password_goes_by_flag_and_by_environment(guarded: Server, opencode: OpenCode) -> None:
    by_flag = opencode("run", "--attach", guarded.url, "-p", PASSWORD, "hi")
    assert (by_flag.code, by_flag.out) == (0, "hi\n"), by_flag
    by_environment = opencode("run", "--attach", guarded.url, "hi", more={"OPENCODE_SERVER_PASSWORD": PASSWORD})
    assert (by_environment.code, by_environment.out) == (0, "hi\n"), by_environment


def test_a_wrong_password_ends_as_with_opencodes_server(guarded: Server, opencode: OpenCode) -> None:
    for more in ((), ("-p", "wrong")):
        ran = opencode("run", "--attach", guarded.url, *more, "hi")
        assert (ran.code, ran.out, ran.err.strip()) == (1, "", "Error: Session not found")


def test_an_error_of_the_model_is_printed(server: Server, opencode: OpenCode) -> None:
    """The prompt waits behind one that fails for good, in a session that stops at failures."""
    server.post("/session", {"id": "ses_stops", "onFailure": "stop"})
    failing = {"echo": {"delay": 2, "fail": "permanent"}}
    body = {"parts": [{"type": "text", "text": "x"}], "metadata": failing}
    assert server.post("/session/ses_stops/prompt_async", body).status_code == 204
    ran = opencode("run", "--attach", server.url, "-s", "ses_stops", "hi")
    assert ran.out == ""
    assert "Error: " in ran.err


def test_under_ephemeral_nothing_stays(server: Server, opencode: OpenCode) -> None:
    before = server.sessions()
    url = f"{server.url}/ephemeral"
    ran = opencode("run", "--attach", url, "a secret")
    assert (ran.code, ran.out) == (0, '"a secret"\n'), ran
    listed = server.get("/ephemeral/session")
    assert len(listed) == 1
    assert listed[0]["id"].startswith("ses_tmp_")
    again = opencode("run", "--attach", url, "-c", "more")
    assert (again.code, again.out) == (0, "more\n"), again
    assert len(server.said(listed[0]["id"])) == 4
    named = opencode("run", "--attach", url, "-s", "ses_tmp_mine", "hi")
    assert (named.code, named.out) == (0, "hi\n"), named
    durable = opencode("run", "--attach", url, "-s", "ses_durable", "hi")
    assert (durable.code, durable.err.strip()) == (1, "Error: Session not found")
    assert server.sessions() == before


def test_the_session_of_an_ephemeral_run_goes_soon(tmp_path: Path, opencode: OpenCode) -> None:
    from tests.clients.conftest import up

    with up(tmp_path, EPHEMERAL_RUN_TTL="1") as server:
        assert opencode("run", "--attach", f"{server.url}/ephemeral", "hi").out == "hi\n"
        eventually(lambda: server.get("/ephemeral/session") == [], what="the session is gone")
