"""Options that several client commands have, and the client that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from cli.exits import remark

if TYPE_CHECKING:
    from cli.client import Client

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="PROMPTQ_URL",
        metavar="URL",
        help="The server. Default: the 'promptq up' of the data directory, else http://127.0.0.1:4096.",
        show_default=False,
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

WaitTimeout = Annotated[
    float | None,
    typer.Option(
        "--wait-timeout",
        metavar="SECONDS",
        min=0,
        help="Stop waiting after this long (exit code 5); the prompt goes on. Default: wait until it ends.",
        show_default=False,
    ),
]

Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="List at most this many.")]


def connect(url: str | None) -> Client:
    """Make a client of the server that a command is to talk to; nothing is sent yet."""
    from cli.client import Client
    from cli.server_address import find_server

    return Client(find_server(url), notice=remark)
