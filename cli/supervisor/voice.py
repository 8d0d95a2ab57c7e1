"""What the supervisor says: with colours to a person, in plain lines to a file or a pipe, or as JSON to programs."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from domain import log_lines

if TYPE_CHECKING:
    from cli.supervisor.child import Child, Died

#: Lines of one child's log that are shown at once; more are counted.
_LINES_AT_ONCE = 5

#: Lines of a dead child's log that are shown.
_LAST_LINES = 5

_NAME_WIDTH = 8


class Voice:
    """Everything that `promptq up` prints, line by line."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        """Speak on `console`; when `quiet`, only of what goes wrong."""
        self._console = console
        self._quiet = quiet

    @property
    def columns(self) -> int | None:
        """How wide the terminal is; None if it is none."""
        return self._console.width if self._console.is_terminal else None

    def say(self, sentence: str) -> None:
        if not self._quiet:
            self._print(escape(sentence), wraps=True)

    def stopping(self, sentence: str) -> None:
        """Say it below the `^C` that a terminal has put where we were."""
        if self.columns is not None and not self._quiet:
            self._print("")
        self.say(sentence)

    def warn(self, sentence: str) -> None:
        self._print(f"[yellow]{escape(sentence)}[/]", wraps=True)

    def starting(self, what: str) -> None:
        if not self._quiet:
            self._print(f"[dim]{escape(what)} …[/]")

    def died(self, child: "Child", death: "Died") -> None:
        if death.again_in_s is None:
            self._print(f"[yellow]{child.name} has drained and ended[/]; it is not started again before the next start")
            return
        again = f"starting it again in {death.again_in_s:g} s"
        self._print(f"[bold red]{child.name} died[/] ({death.why}); {again}")
        self._quote(child, child.log.last_lines(_LAST_LINES))

    def back(self, child: "Child") -> None:
        self._print(f"[green]{child.name} is back[/] (start {child.lives}, pid {child.pid})")

    def serious(self, child: "Child", lines: list[str]) -> None:
        """Show warnings and errors from a child's log."""
        self._quote(child, lines[:_LINES_AT_ONCE])
        left = len(lines) - _LINES_AT_ONCE
        if left > 0:
            self._quote(child, [f"… {left} more such lines in {child.log.path}"])

    def banner(self, lines: list[str], facts: Mapping[str, Any]) -> None:  # noqa: ARG002 - for programs
        """Say that all is ready: in prepared lines of rich's markup, or by the facts."""
        if not self._quiet:
            self._print("\n".join(lines))

    def _quote(self, child: "Child", lines: list[str]) -> None:
        for line in lines:
            self._print(f"[dim]{child.name:<{_NAME_WIDTH}} |[/] {escape(line)}")

    def _print(self, markup: str, *, wraps: bool = False) -> None:
        # A terminal that was closed, or a pipe that nobody reads, must not keep the supervisor from its work.
        with suppress(OSError):
            self._console.print(markup, soft_wrap=not (wraps and self._console.is_terminal), highlight=False)


class JsonVoice(Voice):
    """The same as the records of the other processes' logs, an object a line."""

    def say(self, sentence: str) -> None:
        if not self._quiet:
            self._record(logging.INFO, sentence)

    def warn(self, sentence: str) -> None:
        self._record(logging.WARNING, sentence)

    def starting(self, what: str) -> None:
        self.say(what)

    def died(self, child: "Child", death: "Died") -> None:
        if death.again_in_s is None:
            self._record(logging.WARNING, "child_drained", child=child.name)
            return
        last = child.log.last_lines(_LAST_LINES)
        self._record(
            logging.ERROR, "child_died", child=child.name, why=death.why, again_in_s=death.again_in_s, last=last
        )

    def back(self, child: "Child") -> None:
        self._record(logging.INFO, "child_back", child=child.name, child_pid=child.pid, life=child.lives)

    def serious(self, child: "Child", lines: list[str]) -> None:
        """Say where warnings and errors are: they are records already, in the child's own log."""
        self._record(logging.WARNING, "child_warned", child=child.name, lines=len(lines), log=str(child.log.path))

    def banner(self, lines: list[str], facts: Mapping[str, Any]) -> None:  # noqa: ARG002 - for people
        if not self._quiet:
            self._record(logging.INFO, "up_ready", **facts)

    def _record(self, level: int, event: str, **fields: Any) -> None:
        record = logging.makeLogRecord({"name": __name__, "levelname": logging.getLevelName(level), "msg": event})
        line = log_lines.json_line(log_lines.fields_of(record) | fields)
        with suppress(OSError):
            self._console.print(line, soft_wrap=True, highlight=False, markup=False, emoji=False)
