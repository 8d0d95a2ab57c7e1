"""docs/cli.md says what `--help` says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cli.exits import ExitCode
from cli.main import app
from tests.support import documents

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/cli.md"


def reference() -> str:
    """Write every command's help as Markdown."""
    return "\n\n".join(section for name, command in commands() for section in described(name, command))


def commands() -> Iterator[tuple[str, Any]]:
    """Yield all commands that do something, with their full names; groups stand for their commands."""
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from ((f"promptq {name} {inner}", each) for inner, each in command.commands.items())
        else:
            yield f"promptq {name}", command


def described(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    yield f"### {name}"
    yield f"```text\n{' '.join(context.get_usage().removeprefix('Usage: ').split())}\n```"
    yield (command.help or "").replace("\b\n", "").strip()
    rows = [param.get_help_record(context) for param in command.params]
    shown = [(names, " ".join(told.split())) for names, told in filter(None, rows)]
    if shown:
        yield "\n".join(["| | |", "|---|---|", *(f"| `{_cell(names)}` | {_cell(told)} |" for names, told in shown)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def test_the_document_has_the_help_of_every_command() -> None:
    assert documents.section(DOCUMENT, "commands") == reference(), "python -m tests.cli.test_cli_document writes it"


def test_the_document_lists_every_exit_code() -> None:
    text = DOCUMENT.read_text("utf-8")
    for code in ExitCode:
        assert f"\n| {code.value} | " in text


def test_every_option_of_the_client_says_what_it_is_for() -> None:
    silent = []
    for name, command in commands():
        if name.split()[1] not in ("prompt", "job", "session", "demo"):
            continue
        if not command.help:
            silent.append(name)
        silent += [f"{name} {param.name}" for param in command.params if not param.help]
    assert silent == []


if __name__ == "__main__":
    documents.replace_section(DOCUMENT, "commands", reference())
