"""`opencode attach`, unmodified: the terminal program, driven by its keys and read from its screen."""

from tests.clients.conftest import PASSWORD, Server
from tests.clients.opencode import OpenCode
from tests.clients.screen import ENTER, ESCAPE, Screen
from tests.support.waiting import eventually

READY = "Ask anything"
STALLS = {"echo": {"stall": True}}


def test_it_starts_prompts_and_shows_the_answer(server: Server, opencode: OpenCode) -> None:
    before = set(server.sessions())
    with Screen(opencode, "attach", server.url) as screen:
        screen.shows(READY, "Build · echo echo")
        screen.say("hello from a terminal")
        screen.shows_twice("hello from a terminal")
        (made,) = set(server.sessions()) - before
        assert server.said(made) == ["hello from a terminal"] * 2
        screen.say("and a second")
        screen.shows_twice("and a second")
        assert len(server.said(made)) == 4


def test_it_lists_sessions_and_goes_to_one(server: Server, opencode: OpenCode) -> None:
    server.post("/session", {"id": "ses_listed", "title": "A session to be found"})
    server.post("/session/ses_listed/message", {"parts": [{"type": "text", "text": "what was said before"}]})
    with Screen(opencode, "attach", server.url) as screen:
        screen.shows(READY)
        screen.order("/sessions", "Search")
        screen.shows("A session to be found")
        screen.press("to be found")
        screen.press(ENTER)
        screen.shows("what was said before")


def test_it_renames_a_session(server: Server, opencode: OpenCode) -> None:
    server.post("/session", {"id": "ses_renamed", "title": "Before"})
    server.post("/session/ses_renamed/message", {"parts": [{"type": "text", "text": "something"}]})
    with Screen(opencode, "attach", server.url, "-s", "ses_renamed") as screen:
        screen.shows("something", "▣  Build")
        screen.order("/rename", "Rename Session")
        screen.press(" and after")
        screen.shows("Before and after")
        screen.press(ENTER)
        eventually(lambda: server.get("/session/ses_renamed")["title"] == "Before and after", 60)


def test_it_forks_a_session(server: Server, opencode: OpenCode) -> None:
    server.post("/session", {"id": "ses_forked", "title": "Source"})
    server.post("/session/ses_forked/message", {"parts": [{"type": "text", "text": "to be copied"}]})
    with Screen(opencode, "attach", server.url, "-s", "ses_forked") as screen:
        screen.shows("to be copied", "▣  Build")
        screen.order("/fork", "Full session")
        screen.press(ENTER)

        def forked() -> list[str]:
            return [each["id"] for each in server.get("/session") if each["title"] == "Source (fork)"]

        eventually(forked, 60, what=f"there is a fork\n{screen.text}")
        assert server.said(forked()[0]) == ["to be copied"] * 2
        screen.hides("Full session")
        screen.say("only in the copy")
        eventually(lambda: len(server.said(forked()[0])) == 4, 60, what=f"the copy goes on\n{screen.text}")
        assert len(server.said("ses_forked")) == 2


def test_it_shows_an_answer_while_it_grows_and_aborts_it_with_its_key(server: Server, opencode: OpenCode) -> None:
    server.post("/session/ses_slow/message", {"parts": [{"type": "text", "text": "earlier"}]})
    with Screen(opencode, "attach", server.url, "-s", "ses_slow") as screen:
        screen.shows("▣  Build")
        prompt = {"parts": [{"type": "text", "text": "growing slowly"}], "metadata": STALLS}
        server.post("/session/ses_slow/prompt_async", prompt)
        screen.shows("growing slowly", "esc interrupt")
        screen.shows_twice("growing")
        screen.press(ESCAPE)
        screen.shows("again to interrupt")
        screen.press(ESCAPE)
        eventually(lambda: server.get("/session/status") == {}, 60, what=f"the session is idle\n{screen.text}")
        screen.hides("esc interrupt")
        answer = server.get("/session/ses_slow/message")[-1]
        assert answer["info"]["error"]["name"] == "MessageAbortedError"


def test_history_is_there_after_a_restart(server: Server, opencode: OpenCode) -> None:
    with Screen(opencode, "attach", server.url, "-s", "ses_kept") as screen:
        screen.shows("Build · echo echo")
        screen.say("remember me")
        screen.shows_twice("remember me")
    with Screen(opencode, "attach", server.url, "-s", "ses_kept") as screen:
        screen.shows_twice("remember me")


def test_it_comes_in_with_the_password(guarded: Server, opencode: OpenCode) -> None:
    with Screen(opencode, "attach", guarded.url, "-p", PASSWORD) as screen:
        screen.shows(READY, "Build · echo echo")
        screen.say("let me in")
        screen.shows("▣  Build")


def test_under_ephemeral_it_sees_and_makes_ephemeral_sessions_alone(server: Server, opencode: OpenCode) -> None:
    server.post("/session", {"id": "ses_durable", "title": "A durable one"})
    before = server.sessions()
    with Screen(opencode, "attach", f"{server.url}/ephemeral") as screen:
        screen.shows(READY)
        screen.say("just this once")
        screen.shows("▣  Build")
        server.post("/session/ses_durable/message", {"parts": [{"type": "text", "text": "x"}]})
        screen.order("/sessions", "Search")
        screen.shows("New session")
        assert "A durable one" not in screen.text
    assert sorted(server.sessions()) == sorted(before)
    assert ["just this once"] * 2 in [server.said(each["id"]) for each in server.get("/ephemeral/session")]
