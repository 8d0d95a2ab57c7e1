"""Hands in a prompt and follows it to its end: what is told goes to a view, what is true is asked of the server."""

from __future__ import annotations

import queue
import signal
import time
from contextlib import nullcontext
from dataclasses import dataclass

from cli.called import typed
from cli.client import WAITING_PATIENCE_S, Client, Json
from cli.commands.waiting import answer_of, progress
from cli.exits import CommandError, Interrupted, Missing, Refused, ServerUnreachable
from cli.run.answer import Answer
from cli.run.showing.view import View
from cli.run.stops import Stopped, Stops
from cli.run.stream import Inbox, Stream, Told
from domain.jobs import State

BEGIN_S = 5.0
"""How long the prompt waits for its stream to begin; without one the answer is shown when it is whole."""

_FIRST_LOOK_S = 0.1
_LATER_LOOKS_S = 1.0
_LOOK_READ_S = 5.0

LEFT_AFTER_S = 8.0
"""After SIGTERM nobody waits for longer than this until the prompt is cancelled."""

_UNAVAILABLE = 503


@dataclass(frozen=True)
class Asked:
    """Somebody asked the run to stop."""

    number: signal.Signals


@dataclass(frozen=True)
class Ended:
    """A prompt that has ended."""

    job: Json
    #: Its assistant message `{info, parts}`; None if its session is gone.
    message: Json | None


class NotTaken(Exception):
    """The server does not keep the prompt."""

    def __init__(self, refusal: Refused) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def follow(client: Client, session_id: str, body: Json, view: View, stops: Stops, *, cancels: bool) -> Ended:
    """Hand in a prompt, show its answer as it grows, and return how it ended.

    Args:
        client: of the server.
        session_id: the session, which is there.
        body: the prompt, with its `messageID`.
        view: is shown what happens.
        stops: who may ask to stop.
        cancels: whether the first Ctrl-C or SIGTERM cancels the prompt, and this returns when it has ended; else the
            first breaks this off.

    Raises:
        NotTaken: the server does not keep the prompt.
        Stopped: a second one came, or the first.
        Interrupted: one came before it was known whether the prompt is kept, or it was not cancelled in time.
        CommandError: the server said no, or is gone.
    """
    inbox: Inbox = queue.SimpleQueue()
    with Stream(client, session_id, inbox) as stream:
        stream.begin(BEGIN_S)
        try:
            job_id = str(client.prompt(session_id, body).job_id)
        except Refused as error:
            raise NotTaken(error) from error
        except Stopped as stopped:
            raise Interrupted(
                f"interrupted before the server said that it keeps the prompt; it may or may not run in {session_id}.",
                stopped.number,
            ) from None
        with stops.noted(lambda number: inbox.put(Asked(number))) if cancels else nullcontext():
            return _Following(client, job_id, Answer(body["messageID"]), view, inbox).run()


class _Following:
    """One prompt, from when it is kept to its end."""

    def __init__(self, client: Client, job_id: str, answer: Answer, view: View, inbox: Inbox) -> None:
        self._client = client
        self._job_id = job_id
        self._answer = answer
        self._view = view
        self._inbox = inbox
        self._look_at = time.monotonic() + _FIRST_LOOK_S
        self._pause = _FIRST_LOOK_S
        self._answered_at = time.monotonic()
        self._asked: signal.Signals | None = None
        self._leave_at: float | None = None

    def run(self) -> Ended:
        while True:
            self._hear()
            if time.monotonic() >= self._look_at:
                job = self._look()
                if job is not None and not State(job["state"]).is_open:
                    return self._settle(job)
            if self._leave_at is not None and time.monotonic() > self._leave_at:
                raise self._not_cancelled("it takes too long")
            self._view.tick()

    def _hear(self) -> None:
        """Take what has come, waiting for a moment if there is nothing."""
        try:
            item = self._inbox.get(timeout=max(0.001, min(self._view.tick_s, self._look_at - time.monotonic())))
            while True:
                if isinstance(item, Told):
                    self._take(item.event)
                else:
                    self._stop(item.number)
                item = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _take(self, event: Json) -> None:
        for change in self._answer.take(event):
            self._view.show(change)
        if self._answer.is_over or event.get("type") in {"session.idle", "session.deleted"}:
            self._look_at = time.monotonic()

    def _stop(self, number: signal.Signals) -> None:
        self._asked = number
        if number != signal.SIGINT:
            self._leave_at = time.monotonic() + LEFT_AFTER_S
        self._view.stopping(number)
        try:
            self._client.cancel(self._job_id)
        except CommandError as error:
            raise self._not_cancelled(str(error).rstrip(".")) from error
        self._look_at = time.monotonic()
        self._pause = _FIRST_LOOK_S

    def _not_cancelled(self, why: str) -> Interrupted:
        waits = typed(f"job wait {self._job_id}")
        return Interrupted(f"the prompt is not cancelled ({why}), and may go on; {waits} waits for it.", self._asked)

    def _look(self) -> Json | None:
        """Ask how the job is; None while the server does not answer, which is borne for a while."""
        self._pause = min(2 * self._pause, _LATER_LOOKS_S)
        try:
            job = self._client.job(self._job_id, read_s=_LOOK_READ_S)
        except Missing as error:
            raise CommandError("the session is gone, and the prompt with it.") from error
        except (ServerUnreachable, Refused) as error:
            if isinstance(error, Refused) and error.status != _UNAVAILABLE:
                raise
            if time.monotonic() - self._answered_at > WAITING_PATIENCE_S:
                raise
            self._view.waits("waiting for the server to come back")
            return None
        finally:
            self._look_at = time.monotonic() + self._pause
        self._answered_at = time.monotonic()
        if State(job["state"]).is_open and self._asked is None:
            self._view.waits(progress(job))
        return job

    def _settle(self, job: Json) -> Ended:
        message = answer_of(self._client, job)
        if message is not None and message["parts"]:
            for change in self._answer.settle(message):
                self._view.show(change)
        return Ended(job, message)
