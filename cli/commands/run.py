"""`promptq run`: one prompt, answered in front of you."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """How a run is shown."""

    DEFAULT = "default"
    JSON = "json"


def run(
    message: Annotated[
        list[str] | None,
        typer.Argument(metavar="MESSAGE…", help="The prompt. What is piped in comes after it, on a line of its own."),
    ] = None,
    *,
    session: Annotated[
        str | None, typer.Option("--session", "-s", metavar="ID", help="Make this session, or resume it: 'ses_…'.")
    ] = None,
    session_id: Annotated[
        str | None,
        typer.Option(
            "--session-id",
            metavar="ID",
            help="Make this session; fail (exit code 1) if it is there. With --fork: the copy.",
        ),
    ] = None,
    goes_on: Annotated[bool, typer.Option("--continue", "-c", help="Go on in the session that was used last.")] = False,
    forks: Annotated[
        bool, typer.Option("--fork", help="Go on in a copy of it (needs --continue or --session).")
    ] = False,
    ephemeral: Annotated[
        bool,
        typer.Option(
            "--ephemeral", "--no-session", help="Keep nothing: the session is there while this runs, and then gone."
        ),
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="PROVIDER/MODEL", help="Default: the session's, else the server's."),
    ] = None,
    agent: Annotated[str | None, typer.Option(metavar="NAME", help="The agent that the prompt names.")] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--file", "-f", metavar="FILE", help="Attach a file; may be given again.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The title of a new session. Default: the prompt's first words.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="For people, or 'json': an event a line, as OpenCode's.")
    ] = Format.DEFAULT,
    url: Annotated[
        str | None,
        typer.Option(
            "--attach",
            "--url",
            envvar="PROMPTQ_URL",
            metavar="URL",
            help="The server. Default: what is up in the data directory, else one that is started for this run alone.",
            show_default=False,
        ),
    ] = None,
    shares: Annotated[bool, typer.Option("--share", hidden=True, help="Refused: promptq publishes nothing.")] = False,
) -> None:
    """Ask, and watch the answer come.

    Without a server it starts one for as long as it runs; the session stays in the data directory, for --continue. With
    --ephemeral nothing stays: not in the history, not on disk.

    The answer goes to stdout, everything about it to stderr. At a terminal it appears as it grows; into a file or a
    pipe goes only what is kept in the end, whole. Ctrl-C cancels the prompt; once more leaves at once.
    """
    from cli.run.run import run as run_it
    from cli.run.wishes import Wishes

    wishes = Wishes(
        words=tuple(message or ()),
        session=session,
        session_id=session_id,
        goes_on=goes_on,
        forks=forks,
        shares=shares,
        ephemeral=ephemeral,
        title=title,
        model=model,
        agent=agent,
        files=tuple(files or ()),
    )
    run_it(wishes, url=url, as_json=form is Format.JSON)
