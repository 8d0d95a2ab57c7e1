"""One run from beginning to end: a server, a session, a prompt, its answer; then what was for this run alone goes."""

from __future__ import annotations

import time
from contextlib import ExitStack

from cli.called import typed
from cli.client import Client, Json
from cli.environment import read_settings
from cli.exits import Interrupted, JobEnded, remark
from cli.run.asking import prompt_of
from cli.run.attaching import attached
from cli.run.following import Ended, NotTaken, follow
from cli.run.sessions import RunSession
from cli.run.showing.ink import out_and_err
from cli.run.showing.json_lines import JsonLines
from cli.run.showing.people import ForPeople
from cli.run.showing.spinner import Spinner
from cli.run.showing.view import View
from cli.run.stops import Stopped, Stops
from cli.run.wishes import Wishes, check
from domain.ids import is_ephemeral
from domain.jobs import State


def run(wishes: Wishes, *, url: str | None, as_json: bool) -> None:
    """Do what was asked for; returns when the prompt is answered and shown.

    Raises:
        UsageError: the wishes contradict each other; nothing was asked of any server.
        Refusal: there is no answer.
    """
    check(wishes)
    with Stops() as stops:
        try:
            body = prompt_of(wishes, most_bytes=read_settings().body_limit)
            _Run(wishes, body, stops, as_json=as_json).in_place(url)
        except Stopped as stopped:
            raise Interrupted("interrupted.", stopped.number) from None


class _Run:
    def __init__(self, wishes: Wishes, body: Json, stops: Stops, *, as_json: bool) -> None:
        self._wishes = wishes
        self._body = body
        self._stops = stops
        self._as_json = as_json
        self._out, self._err = out_and_err()
        self._spinner = Spinner(self._err)

    def in_place(self, url: str | None) -> None:
        """Find a server, or start one, and run there."""
        try:
            with (
                attached(url, ephemeral=self._wishes.ephemeral, host=self) as server,
                Client(server, notice=self.notice) as client,
            ):
                self.say(f"asking {server.url}")
                self._with(client)
        finally:
            self._spinner.clear()

    def _with(self, client: Client) -> None:
        session = RunSession(client)
        with ExitStack() as stack:
            stack.callback(self._end, session)
            session.open(self._wishes, str(self._body["parts"][-1]["text"]))
            view = self._view(session)
            stack.callback(view.pause)
            try:
                ended = follow(client, session.id, self._body, view, self._stops, cancels=not session.is_ephemeral)
            except NotTaken as error:
                session.end()
                raise error.refusal from None
            except Stopped as stopped:
                view.pause()
                raise self._interrupted(session, stopped) from None
            self._report(ended, view)

    def _view(self, session: RunSession) -> View:
        if self._as_json:
            return JsonLines(session.id)
        name = session.id
        if session.is_ephemeral:
            name = "ephemeral"
        elif is_ephemeral(session.id):
            name = f"{session.id}, ephemeral"
        return ForPeople(self._out, self._err, self._spinner, name=name)

    def _report(self, ended: Ended, view: View) -> None:
        job, message = ended.job, ended.message
        state = State(job["state"])
        if state is State.SUCCEEDED and message is not None:
            view.succeeded(message)
            return
        error = (message or {}).get("info", {}).get("error") or {"name": "UnknownError", "data": job.get("error") or {}}
        view.failed(error)
        if self._stops.first is not None and state is State.CANCELLED:
            raise Interrupted("the prompt is cancelled.", self._stops.first)
        if state is State.SUCCEEDED:
            raise JobEnded("the prompt was answered, but its session is deleted.", state=State.FAILED)
        said = str(error.get("data", {}).get("message") or "").strip().rstrip(".")
        attempts = job.get("attempt", 0)
        tried = f" after {attempts} attempts" if attempts > 1 else ""
        because = f": {said}" if said and state is State.FAILED else ""
        shows = typed(f"job show {job['id']}")
        more = "" if self._wishes.ephemeral else f"; {shows} tells more"
        raise JobEnded(f"the prompt {_ENDINGS[state]}{tried}{because}{more}.", state=state)

    def _interrupted(self, session: RunSession, stopped: Stopped) -> Interrupted:
        if session.is_ephemeral:
            return Interrupted("the prompt is cancelled, and its ephemeral session is gone.", stopped.number)
        listed = typed(f"job list --session {session.id}")
        return Interrupted(f"left; the prompt may go on: {listed} tells.", stopped.number)

    def _end(self, session: RunSession) -> None:
        """End what was for this run alone, though somebody presses Ctrl-C meanwhile."""
        if session.is_ephemeral:
            with self._stops.noted(lambda _: None):
                session.end()

    def notice(self, sentence: str) -> None:
        self._spinner.clear()
        remark(sentence)

    def say(self, what: str) -> None:
        self._spinner.say(what)
        self.pause(0)

    def pause(self, seconds: float) -> None:
        if not self._as_json:
            self._spinner.tick()
        time.sleep(seconds)


_ENDINGS = {
    State.FAILED: "failed",
    State.CANCELLED: "was cancelled by somebody else",
    State.EXPIRED: "expired",
}
