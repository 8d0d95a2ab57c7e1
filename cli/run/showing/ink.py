"""Colours, where they are wanted: on a terminal that can show them, and only if nobody said no (https://no-color.org)."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TextIO

from cli.commands.printing import harmless

_DUMB = "dumb"

DIM = "2"
THINKING = "2;3"
BOLD = "1"
RED = "1;31"
YELLOW = "33"
CYAN = "36"


@dataclass(frozen=True)
class Ink:
    """Writes to one stream."""

    stream: TextIO
    is_terminal: bool
    has_colours: bool

    @classmethod
    def on(cls, stream: TextIO) -> Ink:
        """See what a stream can show."""
        is_terminal = stream.isatty()
        is_dumb = os.environ.get("TERM", _DUMB) == _DUMB
        return cls(stream, is_terminal and not is_dumb, is_terminal and not is_dumb and not os.environ.get("NO_COLOR"))

    def write(self, text: str, style: str = "") -> None:
        """Write a text that may be anybody's: what would drive a terminal is taken out of it."""
        if not text:
            return
        shown = harmless(text)
        if style and self.has_colours:
            # A line at a time, so that no colour runs over the end of one.
            shown = "\n".join(f"\033[{style}m{line}\033[0m" if line else "" for line in shown.split("\n"))
        self._put(shown)

    def over(self, text: str) -> None:
        """Write one line over the one that is there; nothing clears it."""
        self._put(f"\r\033[K{text}")

    def _put(self, text: str) -> None:
        stream = self.stream
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()


def out_and_err() -> tuple[Ink, Ink]:
    """Return stdout's and stderr's."""
    return Ink.on(sys.stdout), Ink.on(sys.stderr)
