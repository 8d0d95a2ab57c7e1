"""`promptq session …`: look at sessions, delete and fork them, compute their IDs."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.options import AsJson, Limit, Url, connect
from cli.commands.printing import (
    Column,
    harmless,
    is_for_people,
    out,
    print_facts,
    print_json,
    print_rows,
    when,
    when_briefly,
)
from cli.commands.waiting import text_of
from cli.exits import UsageError
from domain.ids import canonical_pairs, new_session_id, session_id_from

if TYPE_CHECKING:
    from cli.client import Json

app = typer.Typer(no_args_is_help=True, help="Look at sessions, delete and fork them, compute their IDs.")

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session's ID, 'ses_…'.")]

_COLUMNS = (Column("session"), Column("title", gives_way=True), Column("created"), Column("updated"))


@app.command("list")
def list_(
    *,
    search: Annotated[str | None, typer.Option(metavar="TEXT", help="Only those with this in the title.")] = None,
    limit: Limit = 50,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List sessions, the latest used first.

    Where stdout is no terminal, each is a line of tab-separated ID, title, creation time and time of last use.
    """
    with connect(url) as client:
        sessions = client.sessions(limit=limit, search=search)
    if as_json:
        print_json(sessions)
    else:
        print_rows(_COLUMNS, map(_row, sessions), empty="no sessions")


@app.command()
def show(session: SessionId, *, url: Url = None, as_json: AsJson = False) -> None:
    """Show a session and what was said in it."""
    with connect(url) as client:
        found = client.session(session)
        messages = client.messages(session)
    if as_json:
        print_json({"session": found, "messages": messages})
        return
    print_facts(
        [
            ("session", found["id"]),
            ("title", found["title"]),
            ("created", when(found["time"]["created"])),
            ("updated", when(found["time"]["updated"])),
            ("messages", str(len(messages))),
        ]
    )
    for message in messages:
        out("")
        out(_heading(message))
        text = text_of(message)
        if text:
            out(harmless(text) if is_for_people() else text)


@app.command()
def delete(
    sessions: Annotated[list[str], typer.Argument(metavar="SESSION…", help="The IDs of sessions, 'ses_…'.")],
    *,
    url: Url = None,
) -> None:
    """Delete sessions and what was said in them; their open jobs are cancelled. The IDs are free again."""
    with connect(url) as client:
        for session in sessions:
            client.delete_session(session)


@app.command()
def fork(
    session: SessionId,
    *,
    new_id: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="The new session's ID. Default: one is made.")
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="MESSAGE", help="Copy only what was said before this message, 'msg_…'. Default: all."),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Copy what was said in a session into a new one, and print the new one's ID."""
    with connect(url) as client:
        made = client.fork_session(session, new_id=new_id or new_session_id(), before=before)
    if as_json:
        print_json(made)
    else:
        out(str(made["id"]))


@app.command("id")
def id_(
    namespace: Annotated[
        str, typer.Argument(metavar="NAMESPACE", help="What the parameters are of, such as 'reviewer'.")
    ],
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="The parameters; their order does not matter.")
    ] = None,
    *,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Of an ephemeral session: 'ses_tmp_…'.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute the session ID of some parameters: the same parameters, the same ID, on every machine.

    No server is asked. docs/session-ids.md tells how to compute it in any language.
    """
    parameters = _parameters(pairs or [])
    try:
        session_id = session_id_from(namespace, parameters, ephemeral=ephemeral)
    except UnicodeEncodeError as error:
        raise UsageError("NAMESPACE and KEY=VALUE must be UTF-8 text.") from error
    if as_json:
        print_json({"id": session_id, "canonical": canonical_pairs(namespace, parameters)})
    else:
        out(session_id)


def _parameters(pairs: list[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"{pair!r} is not KEY=VALUE.")
        normal = unicodedata.normalize("NFC", key)
        if normal in parameters:
            raise UsageError(f"{key!r} is given twice.")
        parameters[normal] = value
    return parameters


def _row(session: Json) -> tuple[str, ...]:
    time = session["time"]
    return session["id"], session["title"], when_briefly(time["created"]), when_briefly(time["updated"])


def _heading(message: Json) -> str:
    info = message["info"]
    error = info.get("error")
    ended = f" ({error['name']})" if error else ""
    return f"--- {info['role']} {info['id']}{ended}"
