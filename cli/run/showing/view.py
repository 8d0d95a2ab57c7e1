"""What is shown of a run, whoever reads it."""

from __future__ import annotations

import signal
from typing import Protocol

from cli.run.answer import Change, Json


class View(Protocol):
    """Is told what happens in a run, in order."""

    #: How often `tick` wants to be called, in seconds.
    tick_s: float

    def waits(self, what: str) -> None:
        """Say what everybody waits for: the server, a worker, an earlier prompt."""

    def show(self, change: Change) -> None:
        """Show what has changed in the answer."""

    def stopping(self, number: signal.Signals) -> None:
        """Say that the prompt is being cancelled."""

    def tick(self) -> None:
        """Time has passed."""

    def succeeded(self, message: Json) -> None:
        """Show what is left to be shown of an answer `{info, parts}` that is kept."""

    def failed(self, error: Json) -> None:
        """Show why there is no answer: an error of OpenCode's, `{name, data}`."""

    def pause(self) -> None:
        """Leave the terminal as somebody else may write to it."""
