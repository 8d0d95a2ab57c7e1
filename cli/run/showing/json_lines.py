"""Shows a run to programs: an event a line, as OpenCode's `run --format json` has them.

`step_start`, `text`, `reasoning`, `tool_use` and `step_finish` are parts of the answer, each when it is whole; `error`
says why there is none. A word of promptq's own is `attempt_void`: the parts of that message are taken back, because
the attempt broke off and the answer begins anew.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

from cli.commands.printing import out
from cli.run.answer import Change, Json, PartNow, Withdrawn
from domain.clock import system_clock

_TYPES = {"step-start": "step_start", "step-finish": "step_finish", "tool": "tool_use"}


class JsonLines:
    """Prints to stdout."""

    tick_s = 3600.0

    def __init__(self, session_id: str) -> None:
        """Show what happens in a session."""
        self._session_id = session_id

    def waits(self, what: str) -> None:
        """Say nothing: programs ask for the job."""

    def show(self, change: Change) -> None:
        match change:
            case PartNow(part, True):
                self._print(_TYPES.get(str(part["type"]), str(part["type"])), part=part)
            case Withdrawn(message_id):
                self._print("attempt_void", messageID=message_id)
            case _:
                pass

    def stopping(self, number: signal.Signals) -> None:
        """Say nothing: the end says it."""

    def tick(self) -> None:
        """Nothing moves."""

    def succeeded(self, message: Json) -> None:
        """All of it is printed."""

    def failed(self, error: Json) -> None:
        self._print("error", error=error)

    def pause(self) -> None:
        """Nothing is left open."""

    def _print(self, kind: str, **more: Any) -> None:
        event = {"type": kind, "timestamp": system_clock(), "sessionID": self._session_id, **more}
        out(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
        sys.stdout.flush()
