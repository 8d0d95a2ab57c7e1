"""One line on stderr that says what is waited for, and moves, so that people see that it goes on."""

from __future__ import annotations

import shutil
import time
import unicodedata

from cli.commands.printing import one_line
from cli.run.showing.ink import CYAN, DIM, Ink

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"
_FRAME_S = 0.08
_SAY_SECONDS_AFTER_S = 3


class Spinner:
    """Draws itself when it is ticked, at the beginning of an empty line; `clear` takes it away."""

    def __init__(self, ink: Ink) -> None:
        """Make one; nothing is drawn."""
        self._ink = ink
        self._drawn = False
        self._what = ""
        self._since = time.monotonic()
        encoding = (ink.stream.encoding or "").lower()
        self._frames = _FRAMES if encoding.startswith("utf") else _PLAIN_FRAMES

    def say(self, what: str) -> None:
        """Say from now on what is waited for."""
        what = one_line(what)
        if what != self._what:
            self._what, self._since = what, time.monotonic()

    def tick(self) -> None:
        """Draw it as it is now."""
        if not self._ink.is_terminal:
            return
        now = time.monotonic()
        frame = self._frames[int(now / _FRAME_S) % len(self._frames)]
        waited = int(now - self._since)
        seconds = f" ({waited} s)" if waited >= _SAY_SECONDS_AFTER_S else ""
        line = _cut(f"{self._what}{seconds}", shutil.get_terminal_size().columns - 4)
        if self._ink.has_colours:
            self._ink.over(f"\033[{CYAN}m{frame}\033[0m \033[{DIM}m{line}\033[0m")
        else:
            self._ink.over(f"{frame} {line}")
        self._drawn = True

    def clear(self) -> None:
        """Take it away, so that others can write."""
        if self._drawn:
            self._ink.over("")
            self._drawn = False


def _cut(text: str, columns: int) -> str:
    """Keep of a text what fits."""
    for at, character in enumerate(text):
        columns -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if columns < 0:
            return text[:at]
    return text
