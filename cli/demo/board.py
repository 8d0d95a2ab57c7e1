"""What the demo shows: a live board at a terminal, plain lines elsewhere, and the table at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.commands.printing import STATE_STYLES, one_line
from cli.commands.waiting import text_of
from cli.demo.prompts import Line, by_session, label, short
from cli.moments import span

if TYPE_CHECKING:
    from cli.client import Json

_WIDE = 100
"""From so many columns on, a session's owner has room beside its ID."""

_FILE_WIDTH = 120
"""How wide the table is where there is no terminal."""

_LINE_EVERY = 10
"""Where there is no terminal, so many answers make a line."""

#: Marks of a turn: answered, running, running again, waiting, ended badly.
_MARKS = {"done": ("●", "green"), "running": ("◐", "cyan"), "again": ("↻", "bold yellow"), "queued": ("·", "dim")}
_PLAIN_MARKS = {"done": "#", "running": ">", "again": "!", "queued": "."}


class Board:
    """Shows how the prompts of a file are getting on."""

    def __init__(self, lines: Sequence[Line], console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
        self._sessions = by_session(lines)
        self._total = len(lines)
        self._began = time.monotonic()
        self._live: Live | None = None
        self._answered = 0

    def say(self, sentence: str) -> None:
        """Print a line; it may have rich's markup. It is not broken, so that a path in it can be copied."""
        self._console.print(sentence, soft_wrap=True)

    @contextmanager
    def live(self) -> Iterator[None]:
        """While this lasts, `show` redraws the board in place. It leaves nothing behind."""
        self._began = time.monotonic()
        if not self._console.is_terminal:
            yield
            return
        try:
            with Live(console=self._console, transient=True, auto_refresh=False) as self._live:
                yield
        finally:
            self._live = None

    def show(self, jobs: Mapping[str, Json]) -> None:
        """Show how the jobs are.

        Args:
            jobs: the jobs so far, by the ID of their prompt's message and its session: `ses_…/msg_…`.
        """
        answered = sum(job["state"] == "succeeded" for job in jobs.values())
        if self._live is not None:
            self._live.update(self._picture(jobs, answered), refresh=True)
        elif answered // _LINE_EVERY > self._answered // _LINE_EVERY:
            self.say(f"  {answered} of {self._total} answered after {time.monotonic() - self._began:.1f} s")
        self._answered = answered

    def table(self, jobs: Mapping[str, Json], messages: Mapping[str, list[Json]]) -> None:
        """Print how each session ended."""
        wide = self._console.width >= _WIDE
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
        table.add_column("session", no_wrap=True)
        table.add_column("turns", justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        table.add_column("attempts", no_wrap=True)
        table.add_column("last answer", ratio=1)
        table.add_column("time", justify="right", no_wrap=True)
        for session, lines in self._sessions.items():
            mine = [jobs[f"{session}/{line.message_id}"] for line in lines]
            states = {job["state"] for job in mine}
            state = states.pop() if len(states) == 1 else "mixed"
            name = Text(short(session), "bold")
            if wide:
                name.append(f" {label(lines[0])}", "not bold dim")
            last = messages[session][-1] if messages[session] else None
            took = max(job["time"]["ended"] or 0 for job in mine) - min(job["time"]["created"] for job in mine)
            table.add_row(
                name,
                str(len(mine)),
                Text(state, STATE_STYLES.get(state, "red")),
                Text(" ").join(Text(str(job["attempt"]), "" if job["attempt"] == 1 else "bold yellow") for job in mine),
                Text(one_line(text_of(last)), no_wrap=True, overflow="ellipsis"),
                span(took),
            )
        self._console.print(table)

    def _picture(self, jobs: Mapping[str, Json], answered: int) -> RenderableType:
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(justify="right", no_wrap=True)
        head.add_row(
            f"[bold]{answered:>{len(str(self._total))}}[/] of {self._total} answered",
            ProgressBar(total=self._total, completed=answered),
            f"{time.monotonic() - self._began:.1f} s",
        )
        rows = Table.grid(padding=(0, 2))
        for session, lines in self._sessions.items():
            marks = Text(" ").join(self._mark(jobs.get(f"{session}/{line.message_id}")) for line in lines)
            rows.add_row(Text(short(session)), marks, Text(label(lines[0]), "dim"), self._said(session, lines, jobs))
        return Group(head, Text(), rows)

    def _said(self, session: str, lines: Sequence[Line], jobs: Mapping[str, Json]) -> Text:
        """Return what is being asked: the first prompt without an answer."""
        for line in lines:
            job = jobs.get(f"{session}/{line.message_id}")
            if job is None or job["state"] != "succeeded":
                return Text(line.prompt, "italic", no_wrap=True, overflow="ellipsis")
        return Text("all answered", "green")

    def _mark(self, job: Json | None) -> Text:
        match job and job["state"]:
            case "succeeded":
                kind = "done"
            case "running":
                kind = "again" if job and job["attempt"] > 1 else "running"
            case "failed" | "cancelled" | "expired":
                return Text("x", "bold red")
            case _:
                kind = "queued"
        mark, style = _MARKS[kind]
        if not self._console.encoding.startswith("utf"):
            mark = _PLAIN_MARKS[kind]
        return Text(mark, style)


def code(text: object) -> str:
    """Mark a name or number in a sentence that is said on the board."""
    return f"[bold]{escape(str(text))}[/]"
