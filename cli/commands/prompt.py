"""`promptq prompt`: hand in a prompt, wait, print the answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.called import typed
from cli.commands.options import AsJson, Url, WaitTimeout, connect
from cli.commands.printing import out, print_json
from cli.commands.waiting import answer_of, report, wait_until_ended
from cli.exits import Interrupted, Missing, UsageError
from cli.moments import EXPLAINED, moment
from domain.clock import Millis
from domain.errors import InvalidRequest
from domain.ids import check_session_id, new_message_id
from domain.jobs import State
from domain.prompts import IfMissing, WhenBusy

if TYPE_CHECKING:
    from cli.client import Client, Json


def prompt(
    session: Annotated[
        str, typer.Argument(metavar="SESSION", help="The session's ID, 'ses_…'; made if it is missing.")
    ],
    text: Annotated[
        str | None,
        typer.Argument(metavar="TEXT", help="The prompt; '-', or none where stdin is a pipe: read it from stdin."),
    ] = None,
    *,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait and print the answer, or print the job's ID at once.")
    ] = True,
    wait_timeout: WaitTimeout = None,
    model: Annotated[
        str | None, typer.Option(metavar="PROVIDER/MODEL", help="Default: the session's, else the server's.")
    ] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system prompt for this prompt.")] = None,
    priority: Annotated[
        int | None, typer.Option(metavar="0-9", min=0, max=9, help="9 is the most urgent. Default: 5.")
    ] = None,
    not_before: Annotated[str | None, typer.Option(metavar="TIME", help=f"Do not start before: {EXPLAINED}.")] = None,
    expires_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="Expire (exit code 4) if it has not started by then.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long one attempt may take. Default: 600.")
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Attempts before it has failed. Default: 3.")
    ] = None,
    message_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Name the prompt, 'msg_…': the same again runs nothing twice. Default: a new one."
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The same, by any text, where --message-id is not given.")
    ] = None,
    if_missing: Annotated[
        IfMissing | None, typer.Option(help="A missing session: make it (the default), or fail.")
    ] = None,
    when_busy: Annotated[
        WhenBusy | None,
        typer.Option(help="A session with open jobs: queue behind them (the default), reject, or interrupt them."),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Make sure first that the session exists, under this title.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Hand in a prompt to a session, wait, and print the answer.

    The session is made if it is missing, and resumed if it is there. The command is safe to repeat with the same
    --message-id (or --idempotency-key): the same prompt never runs twice, and the repeat prints the same answer. It
    repeats itself so, under a name it makes, when the connection breaks or the server is being restarted.
    """
    if title is not None and if_missing == "fail":
        raise UsageError("--title makes the session, and --if-missing fail forbids it; leave one of them out.")
    try:
        check_session_id(session, field="SESSION")
    except InvalidRequest as error:
        raise UsageError(f"{error}; {typed('session id NAMESPACE KEY=VALUE')} computes one.") from error
    if message_id is None and idempotency_key is None:
        message_id = new_message_id()
    body = _body(
        _read(text),
        messageID=message_id,
        model=_model(model),
        system=system,
        priority=priority,
        notBefore=_moment(not_before, "--not-before"),
        expiresAt=_moment(expires_at, "--expires-at"),
        timeout=timeout,
        maxAttempts=max_attempts,
        ifMissing=if_missing,
        whenBusy=when_busy,
    )
    with connect(url) as client:
        try:
            if title is not None:
                client.create_session({"id": session, "title": title})
            accepted = client.prompt(session, body, idempotency_key=idempotency_key)
        except KeyboardInterrupt:
            name = f"--message-id {message_id}" if message_id else f"--idempotency-key {idempotency_key}"
            raise Interrupted(
                "interrupted before the server said that it keeps the prompt; it may or may not have it, "
                f"and the same command with {name} is safe to repeat."
            ) from None
        job_id = str(accepted.job_id)
        facts = {"sessionID": session, "messageID": message_id, "jobID": job_id, "session": accepted.session}
        if not wait:
            if as_json:
                print_json(facts)
            else:
                out(job_id)
            return
        job, message = _outcome(client, session, body, idempotency_key, job_id, wait_timeout)
        report(job, message, as_json=as_json, **facts)


def _body(text: str, **fields: Any) -> Json:
    given = {name: value for name, value in fields.items() if value is not None}
    return {**given, "parts": [{"type": "text", "text": text}]}


def _read(text: str | None) -> str:
    """Return the prompt's text. Stdin is read only if no text is given, so that it stays whole for a caller's loop."""
    if text is None and sys.stdin.isatty():
        raise UsageError("there is no prompt; give it in quotes, or pipe it in.")
    if text is None or text == "-":
        try:
            text = sys.stdin.buffer.read().decode()
        except UnicodeDecodeError as error:
            raise UsageError("stdin is not UTF-8 text.") from error
    if not text.strip():
        raise UsageError("the prompt is empty.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the prompt is not UTF-8 text.") from error
    return text


def _model(name: str | None) -> Json | None:
    if name is None:
        return None
    provider, slash, model = name.partition("/")
    if not (provider and slash and model):
        raise UsageError(f"--model is PROVIDER/MODEL, such as echo/echo, and not {name!r}.")
    return {"providerID": provider, "modelID": model}


def _moment(text: str | None, option: str) -> Millis | None:
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}.") from error


def _outcome(
    client: Client, session: str, body: Json, idempotency_key: str | None, job_id: str, wait_timeout: float | None
) -> tuple[Json, Json | None]:
    """Wait for the job and its assistant message; of a repeat whose job record is past retention, the message tells."""
    try:
        job = wait_until_ended(client, job_id, timeout_s=wait_timeout)
    except Missing:
        message = client.answer(session, body, idempotency_key=idempotency_key)
        error = message["info"].get("error")
        state = State.SUCCEEDED
        if error:
            state = State.CANCELLED if error["name"] == "MessageAbortedError" else State.FAILED
        return {"id": job_id, "state": state, "error": error and error.get("data")}, message
    return job, answer_of(client, job)
