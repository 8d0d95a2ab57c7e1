"""The `promptq` command: assembles its subcommands, and ends with a sentence where one refuses."""

import io
import sys
from typing import Annotated

import typer

from cli.called import called
from cli.commands import demo, job, key, prompt, roles, run, session, status, up
from cli.refusal import Refusal

app = typer.Typer(
    name="promptq",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    rich_markup_mode="markdown",  # so that a docstring's paragraphs are filled anew
)

_ASK = "Ask it"
_RUN = "Run it"
_ROLES = "Run one part of it"

app.command(rich_help_panel=_ASK)(run.run)
app.command(rich_help_panel=_ASK)(prompt.prompt)
app.add_typer(job.app, name="job", rich_help_panel=_ASK)
app.add_typer(session.app, name="session", rich_help_panel=_ASK)
app.command(rich_help_panel=_RUN)(up.up)
app.add_typer(key.app, name="key", rich_help_panel=_RUN)
app.command(rich_help_panel=_RUN)(demo.demo)
app.command(rich_help_panel=_RUN)(status.status)
app.command(rich_help_panel=_ROLES)(roles.api)
app.command(rich_help_panel=_ROLES)(roles.worker)
app.command(rich_help_panel=_ROLES)(roles.flower)
app.command(rich_help_panel=_ROLES)(roles.migrate)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"promptq {version('promptq')}")
        raise typer.Exit


@app.callback()
def promptq(
    *,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Say which version this is.")
    ] = False,
) -> None:
    """A queue for prompts: named sessions, each prompt answered once and in order."""


def main() -> None:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal can show what is said
    try:
        app(prog_name=called())
    except Refusal as refusal:
        print(f"promptq: {refusal}", file=sys.stderr)
        sys.exit(refusal.exit_code)


if __name__ == "__main__":
    main()
