"""How client commands print: tables for people, tab-separated lines without a terminal, JSON where it is asked for."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cli.moments import iso, local, local_briefly
from domain.clock import Millis

STATE_STYLES = {
    "queued": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "magenta",
    "expired": "magenta",
    "draining": "yellow",
    "ended": "dim",
}
"""The colour of each state, of a job or a worker, in every table."""


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    justify: Literal["left", "right"] = "left"
    #: Whether it is cut with an ellipsis where the terminal is narrow; others are never cut.
    gives_way: bool = False


def is_for_people() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """Print one JSON document."""
    out(json.dumps(value, ensure_ascii=False, indent=2))


def print_rows(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Print a table at a terminal, or else a line a row, its cells separated by tabs, without titles.

    Args:
        columns: the columns; states of jobs are coloured.
        rows: the cells of each row, as many as there are columns.
        empty: what people are told if there are no rows.
    """
    rows = [[one_line(cell) for cell in row] for row in rows]
    if not is_for_people():
        for row in rows:
            out("\t".join(row))
        return
    if not rows:
        print(empty, file=sys.stderr)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column.title, justify=column.justify, no_wrap=not column.gives_way)
    for row in rows:
        table.add_row(*(Text(cell, STATE_STYLES.get(cell, ""), no_wrap=True, overflow="ellipsis") for cell in row))
    Console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values, a line each: aligned at a terminal, else separated by a tab."""
    pairs = [(name, one_line(value)) for name, value in facts]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        out(f"{name:<{width}}  {value}" if is_for_people() else f"{name}\t{value}")


def print_text(text: str) -> None:
    """Print an answer: as it is into a file or pipe; at a terminal without what would control the terminal."""
    out(harmless(text) if is_for_people() else text)


def when(time: Millis | None) -> str:
    """Write a time for whoever reads stdout; `-` for none."""
    if time is None:
        return "-"
    return local(time) if is_for_people() else iso(time)


def when_briefly(time: Millis) -> str:
    """Write a time as `when`, but for people only what a list has room for."""
    return local_briefly(time) if is_for_people() else iso(time)


def one_line(text: str) -> str:
    """Put a text on one line, so that it cannot break a table."""
    return harmless(" ".join(text.split()))


def harmless(text: str) -> str:
    """Take out control characters but for line feed and tab: a model's or stranger's text must not drive a terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\N{REPLACEMENT CHARACTER}" for c in text)


def out(line: str) -> None:
    """Print to stdout what its encoding can show; the rest as `?`."""
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "replace").decode(encoding))
