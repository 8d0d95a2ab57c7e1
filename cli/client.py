"""The HTTP client of the `promptq` command: its only door to a server.

Every call here is safe to repeat (the caller's names are the idempotency keys), so a call that got no answer, or 503,
is repeated with the same names for as long as the client is patient. It must not know how anything is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from cli.called import typed
from cli.environment import USER
from cli.exits import Invalid, Missing, PasswordRefused, Refused, ServerUnreachable, Unexpected
from cli.server_address import ServerAddress

Json = dict[str, Any]

PATIENCE_S = 8.0
"""How long a prompt is offered to a server that does not answer: longer than `promptq up` needs to restart its API."""

WAITING_PATIENCE_S = 30.0
"""How long somebody who waits for an answer bears a server that is away."""

_ANSWER_S = 30.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_PAGE = 100

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Accepted:
    """A prompt that the server keeps."""

    #: None for `noReply`.
    job_id: str | None
    #: `created` or `resumed`.
    session: str


class Client:
    """Talks to one server. Use it as a context manager."""

    def __init__(self, server: ServerAddress, *, notice: Notice = lambda _: None) -> None:
        """Connect lazily: nothing is sent before the first call.

        Args:
            server: whom to talk to.
            notice: told once in words when a call is being repeated.
        """
        self.server = server
        self._notice = notice
        auth = httpx2.BasicAuth(USER, server.password) if server.password and not server.key else None
        self._http = httpx2.Client(
            base_url=server.url,
            auth=auth,
            headers={"Authorization": f"Bearer {server.key}"} if server.key else None,
            trust_env=not server.is_loopback,
            timeout=httpx2.Timeout(_ANSWER_S, connect=5),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def prompt(self, session_id: str, body: Json, *, idempotency_key: str | None = None) -> Accepted:
        """Hand in a prompt; returns once it is kept. The body or the key must name it, or repeats would be new."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        path = f"/session/{_quoted(session_id)}/prompt_async"
        answer = self._call("POST", path, json=body, headers=headers, patience_s=PATIENCE_S)
        location = answer.headers.get("location", "")
        return Accepted(location.rpartition("/")[2] or None, answer.headers.get("promptq-session", ""))

    def answer(self, session_id: str, body: Json, *, idempotency_key: str | None = None) -> Json:
        """Hand in a prompt and wait for its assistant message `{info, parts}`; of a repeated one, the kept message."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        path = f"/session/{_quoted(session_id)}/message"
        return _object(self._call("POST", path, json=body, headers=headers, patience_s=PATIENCE_S))

    def create_session(self, creation: Json) -> Json:
        """Create the session that `creation` names by `id`, or get it."""
        return _object(self._call("POST", "/session", json=creation, patience_s=PATIENCE_S))

    def create_new_session(self, creation: Json) -> Json:
        """Create the session that `creation` names by `id`. Not repeated by itself: it would find what it has made.

        Raises:
            Refused: there is one (409), among other things.
        """
        return _object(self._call("POST", "/session", json={**creation, "ifExists": "error"}))

    def update_session(self, session_id: str, changes: Json) -> Json:
        return _object(self._call("PATCH", f"/session/{_quoted(session_id)}", json=changes, patience_s=PATIENCE_S))

    def session(self, session_id: str) -> Json:
        return _object(self._call("GET", f"/session/{_quoted(session_id)}"))

    def sessions(self, *, limit: int, search: str | None = None, roots: bool = False) -> list[Json]:
        """List sessions, the latest updated first; with `roots` only those without a parent."""
        return self._list("/session", {"search": search, "roots": "true" if roots else None}, limit)

    def delete_session(self, session_id: str, *, patience_s: float = PATIENCE_S) -> None:
        """Delete a session; after a lost answer, one that is gone counts as deleted by this call."""
        self._call("DELETE", f"/session/{_quoted(session_id)}", patience_s=patience_s)

    def fork_session(self, session_id: str, *, new_id: str, before: str | None = None) -> Json:
        """Copy a session's committed turns, up to message `before` (exclusive), into session `new_id`."""
        body = {"id": new_id} | ({"messageID": before} if before else {})
        return _object(self._call("POST", f"/session/{_quoted(session_id)}/fork", json=body, patience_s=PATIENCE_S))

    def messages(self, session_id: str) -> list[Json]:
        """Return all messages of a session, each `{info, parts}`, in order."""
        return _array(self._call("GET", f"/session/{_quoted(session_id)}/message"))

    def message(self, session_id: str, message_id: str) -> Json:
        return _object(self._call("GET", f"/session/{_quoted(session_id)}/message/{_quoted(message_id)}"))

    @contextmanager
    def events(self, session_id: str, *, after: str | None, read_s: float) -> Iterator[httpx2.Response]:
        """Open the stream of a session's events, from the one named `after` or from now; the body is for the caller.

        Args:
            session_id: the session.
            after: what `Last-Event-ID` says.
            read_s: how long the stream may be silent, in seconds.

        Raises:
            httpx2.TransportError: it did not open, or broke.
            CommandError: the server said no.
        """
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        timeout = httpx2.Timeout(read_s, connect=5)
        path = f"/session/{_quoted(session_id)}/event"
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as answer:
            if not answer.is_success:
                answer.read()
                self._refuse(answer)
            yield answer

    def job(self, job_id: str, *, read_s: float = _ANSWER_S) -> Json:
        return _object(self._call("GET", f"/job/{_quoted(job_id)}", read_s=read_s))

    def jobs(self, *, limit: int, states: tuple[str, ...] = (), session_id: str | None = None) -> list[Json]:
        """List jobs, the newest first."""
        return self._list("/job", {"state": ",".join(states) or None, "sessionID": session_id}, limit)

    def wait(self, job_id: str, *, timeout_s: float) -> Json:
        """Return a job once it is terminal, or as it is after `timeout_s` seconds (at most 300)."""
        return _object(
            self._call(
                "GET",
                f"/job/{_quoted(job_id)}/wait",
                params={"timeout": f"{timeout_s:.3f}"},
                read_s=timeout_s + _ANSWER_S,
                patience_s=WAITING_PATIENCE_S,
            )
        )

    def cancel(self, job_id: str) -> Json:
        """Ask a job to end; returns it as it is now."""
        return _object(self._call("POST", f"/job/{_quoted(job_id)}/cancel", patience_s=PATIENCE_S))

    def retry(self, job_id: str, *, idempotency_key: str) -> Json:
        """Admit a new job that repeats an ended one; the same key again gives the same new job."""
        headers = {"Idempotency-Key": idempotency_key}
        return _object(self._call("POST", f"/job/{_quoted(job_id)}/retry", headers=headers, patience_s=PATIENCE_S))

    def status(self) -> Json:
        """Return how the fleet is; the operator's."""
        return _object(self._call("GET", "/status"))

    def _list(self, path: str, query: Mapping[str, str | None], limit: int) -> list[Json]:
        """Read pages until there are `limit` items or no more."""
        items: list[Json] = []
        cursor: str | None = None
        while len(items) < limit:
            params = {name: value for name, value in query.items() if value is not None}
            params["limit"] = str(min(_PAGE, limit - len(items)))
            if cursor is not None:
                params["cursor"] = cursor
            answer = self._call("GET", path, params=params)
            items.extend(_array(answer))
            cursor = answer.headers.get("x-next-cursor")
            if not cursor:
                break
        return items[:limit]

    def _call(
        self,
        method: str,
        path: str,
        *,
        json: Json | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        read_s: float = _ANSWER_S,
        patience_s: float = 0.0,
    ) -> httpx2.Response:
        """Call, and call again while nobody answers or the server says 503, for `patience_s` seconds.

        Raises:
            ServerUnreachable: nobody answered in that time.
            CommandError: the server said no; see `cli.exits`.
        """
        give_up_at = time.monotonic() + patience_s
        repeated = False
        for pause in _pauses():
            answer: httpx2.Response | None = None
            cause: Exception | None = None
            try:
                answer = self._http.request(
                    method, path, json=json, params=params, headers=headers, timeout=httpx2.Timeout(read_s, connect=5)
                )
            except httpx2.TransportError as error:
                cause = error
            if answer is not None and answer.status_code != httpx2.codes.SERVICE_UNAVAILABLE:
                gone_already = repeated and method == "DELETE" and answer.status_code == httpx2.codes.NOT_FOUND
                return answer if answer.is_success or gone_already else self._refuse(answer)
            wait = pause if answer is None else max(pause, _retry_after(answer))
            if time.monotonic() + wait > give_up_at:
                if answer is not None:
                    self._refuse(answer)
                raise ServerUnreachable(self._unreachable(cause)) from cause
            if not repeated:
                self._notice(f"{self._silence(cause)}; trying again for {patience_s:.0f} s.")
            repeated = True
            time.sleep(wait)
        raise AssertionError  # the pauses never end

    def _silence(self, cause: Exception | None) -> str:
        if cause is None:
            return f"the server at {self.server.url} is not ready"
        return f"no answer from {self.server.url}"

    def _unreachable(self, cause: Exception | None) -> str:
        url, source = self.server.url, self.server.source
        if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
            return (
                f"no promptq server answers at {url} (from {source}); start one with {typed('up')}, "
                "or name another with --url or PROMPTQ_URL."
            )
        return f"the server at {url} (from {source}) broke off without an answer; the same command can be repeated."

    def _refuse(self, answer: httpx2.Response) -> httpx2.Response:
        """Raise what an answer's status means."""
        status = answer.status_code
        message = _message(answer)
        if status == httpx2.codes.UNAUTHORIZED:
            raise PasswordRefused(_unauthorized(self.server))
        if message is None:
            raise Unexpected(
                f"{self.server.url} (from {self.server.source}) answered {status} in a way that promptq does not; "
                "is it another program's address?"
            )
        if status == httpx2.codes.NOT_FOUND:
            raise Missing(message, status=status)
        if status in (400, 413, 422):
            raise Invalid(message, status=status)
        raise Refused(message, status=status)


def _unauthorized(server: ServerAddress) -> str:
    if server.key is not None:
        return f"{server.url} does not take the key in PROMPTQ_KEY; set it to one that the server knows."
    if server.password is not None:
        return f"{server.url} does not take the password in PROMPTQ_PASSWORD; set it to the server's."
    return f"{server.url} wants a key or a password; set PROMPTQ_KEY to yours, or PROMPTQ_PASSWORD to the server's."


def _pauses() -> Iterator[float]:
    pause = _FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE_S)


def _retry_after(answer: httpx2.Response) -> float:
    try:
        return min(float(answer.headers.get("retry-after", "0")), _LONGEST_PAUSE_S)
    except ValueError:
        return 0.0


def _message(answer: httpx2.Response) -> str | None:
    """Return the sentence in an error, in whichever of OpenCode's and OpenAI's shapes it comes; None if in none."""
    try:
        body = answer.json()
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    places = (body.get("data"), body.get("error"), body)
    for place in places:
        if isinstance(place, dict) and isinstance(place.get("message"), str):
            return str(place["message"])
    return None


def _object(answer: httpx2.Response) -> Json:
    body = _json(answer)
    if not isinstance(body, dict):
        raise Unexpected(f"{answer.request.url} answered with {type(body).__name__} instead of an object.")
    return body


def _array(answer: httpx2.Response) -> list[Json]:
    body = _json(answer)
    if not isinstance(body, list):
        raise Unexpected(f"{answer.request.url} answered with {type(body).__name__} instead of a list.")
    return body


def _json(answer: httpx2.Response) -> Any:
    try:
        return answer.json()
    except ValueError as error:
        raise Unexpected(f"{answer.request.url} did not answer with JSON; is it another program's address?") from error


def _quoted(name: str) -> str:
    return quote(name, safe="")
