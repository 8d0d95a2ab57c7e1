"""Waiting for a job's end, and saying how it ended: what `prompt` and `job wait` share."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from cli.called import typed
from cli.commands.printing import harmless, print_json, print_text, when
from cli.exits import Interrupted, JobEnded, Missing, WaitTimedOut
from domain.jobs import State

if TYPE_CHECKING:
    from cli.client import Client, Json

_LONG_POLL_S = 30.0

#: How often people see anew what a job waits for.
_GLANCE_S = 1.0


def wait_until_ended(client: Client, job_id: str, *, timeout_s: float | None) -> Json:
    """Wait until a job is terminal, and return it. At a terminal, say meanwhile what it waits for.

    Raises:
        WaitTimedOut: it was not, after `timeout_s` seconds (None: no limit).
        Interrupted: Ctrl-C.
    """
    give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
    for_people = sys.stderr.isatty()
    status = _Status() if for_people else None
    try:
        while True:
            poll_s = _GLANCE_S if for_people else _LONG_POLL_S
            if give_up_at is not None:
                poll_s = min(poll_s, max(0.0, give_up_at - time.monotonic()))
            job = client.wait(job_id, timeout_s=poll_s)
            if not State(job["state"]).is_open:
                return job
            if give_up_at is not None and time.monotonic() >= give_up_at:
                raise WaitTimedOut(
                    f"job {job_id} is {progress(job)} after {timeout_s:g} s, and goes on; "
                    f"{typed(f'job wait {job_id}')} waits again."
                )
            if status is not None:
                status.show(f"job {job_id} is {progress(job)}")
    except KeyboardInterrupt:
        raise Interrupted(
            f"interrupted, but the prompt goes on; {typed(f'job wait {job_id}')} waits again, "
            f"{typed(f'job cancel {job_id}')} ends it."
        ) from None
    finally:
        if status is not None:
            status.clear()


def progress(job: Json) -> str:
    """Say where an open job is: `queued behind job_…`, `running (attempt 2)` and so on."""
    attempts = job["attempt"]
    if job["state"] == State.RUNNING:
        return f"running (attempt {attempts})" if attempts > 1 else "running"
    waiting = job.get("waiting") or {}
    match waiting.get("for"):
        case "session":
            return f"queued behind {waiting.get('jobID') or 'others of its session'}"
        case "time":
            again = f", for attempt {attempts + 1}" if attempts else ""
            return f"queued until {when(waiting['until'])}{again}"
        case "batch":
            return "queued until its batch goes on"
        case "worker":
            return "queued until a worker is free"
        case _:
            return str(job["state"])


def report(job: Json, message: Json | None, *, as_json: bool, **facts: Any) -> None:
    """Print the outcome of a terminal job, its answer on stdout.

    Args:
        job: the job.
        message: its assistant message `{info, parts}`; None if it is gone.
        as_json: print everything as JSON, with `facts`.
        facts: more fields for the JSON.

    Raises:
        JobEnded: it ended without success.
    """
    if as_json:
        print_json({**facts, "job": job, "message": message, "text": text_of(message)})
    state = State(job["state"])
    if state is not State.SUCCEEDED:
        raise JobEnded(_why(job), state=state)
    if not as_json:
        if message is None:
            raise JobEnded(f"job {job['id']} succeeded, but its session is deleted.", state=State.FAILED)
        print_text(text_of(message))


def answer_of(client: Client, job: Json) -> Json | None:
    """Return the assistant message of a terminal job, or None if its session is gone."""
    if not job.get("assistantID"):
        return None
    try:
        return client.message(job["sessionID"], job["assistantID"])
    except Missing:
        return None


def text_of(message: Json | None) -> str:
    """Return what an assistant message says: its text parts."""
    parts = message["parts"] if message else ()
    return "\n".join(part["text"] for part in parts if part.get("type") == "text")


def _why(job: Json) -> str:
    job_id, state = job["id"], job["state"]
    said = harmless(str((job.get("error") or {}).get("message") or "")).strip().rstrip(".")
    because = f": {said}" if said and said != state else ""
    attempts = job.get("attempt", 0)
    match State(state):
        case State.FAILED:
            how = f"failed after {attempts} attempt{'' if attempts == 1 else 's'}{because}"
        case State.EXPIRED:
            how = "expired: it had not started by its --expires-at"
        case _:
            how = f"was {state}{because}"
    return f"job {job_id} {how}; {typed(f'job retry {job_id}')} tries it anew."


class _Status:
    """One line on stderr that is written over."""

    def show(self, text: str) -> None:
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
