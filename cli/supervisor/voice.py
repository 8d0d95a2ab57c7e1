"""What the supervisor says: with colours to a person, in plain lines to a file or a pipe."""

from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

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

    def say(self, sentence: str) -> None:
        if not self._quiet:
            self._print(escape(sentence))

    def warn(self, sentence: str) -> None:
        self._print(f"[yellow]{escape(sentence)}[/]")

    def starting(self, what: str) -> None:
        if not self._quiet:
            self._print(f"[dim]{escape(what)} …[/]")

    def died(self, child: "Child", death: "Died") -> None:
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

    def banner(self, lines: list[str]) -> None:
        """Print prepared lines, in rich's markup."""
        if not self._quiet:
            self._print("\n".join(lines))

    def _quote(self, child: "Child", lines: list[str]) -> None:
        for line in lines:
            self._print(f"[dim]{child.name:<{_NAME_WIDTH}} |[/] {escape(line)}")

    def _print(self, markup: str) -> None:
        # A terminal that was closed, or a pipe that nobody reads, must not keep the supervisor from its work.
        with suppress(OSError):
            self._console.print(markup, soft_wrap=True, highlight=False)
