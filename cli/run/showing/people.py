"""Shows a run to people: the answer on stdout, everything about it on stderr.

At a terminal the answer appears as it grows. Into a file or a pipe goes only what is kept in the end, whole: nothing
can be taken back there if an attempt breaks off.
"""

from __future__ import annotations

import json
import signal
import time
from typing import assert_never

from cli.commands.printing import print_text
from cli.commands.waiting import text_of
from cli.exits import remark
from cli.run.answer import Begun, Change, Grown, Json, PartNow, Withdrawn
from cli.run.showing.ink import BOLD, DIM, RED, THINKING, YELLOW, Ink
from cli.run.showing.spinner import Spinner

_SAY_AFTER_S = 2.0
"""How long something is waited for before a line is given to it where nothing can be written over."""

_OFFLINE = "echo"
_RUNNING = "running"


class ForPeople:
    """Writes to stdout and stderr."""

    def __init__(self, out: Ink, err: Ink, spinner: Spinner, *, name: str) -> None:
        """Begin; `name` is what the session is called for people."""
        self._out = out
        self._err = err
        self._name = name
        self._spinner = spinner
        self.tick_s = 0.08 if err.is_terminal else 0.5
        #: The text that grows at the end of the screen, and where it is written.
        self._open: str | None = None
        self._open_ink = out
        #: Line feeds that were told and not written: at the end of a text they are not wanted.
        self._held = ""
        self._headed = False
        #: The tool that runs.
        self._tool = ""
        self._waits: tuple[str, float] | None = None

    def waits(self, what: str) -> None:
        if self._tool and what.startswith(_RUNNING):
            what = f"{_RUNNING} {self._tool}"
        self._spinner.say(what)
        if self._waits is None or self._waits[0] != what:
            self._waits = (what, time.monotonic())

    def show(self, change: Change) -> None:
        match change:
            case Begun(info):
                self._head(info)
                self.waits(_RUNNING)
            case Grown():
                self._grow(change)
            case PartNow(part, is_done):
                self._part(part, is_done=is_done)
            case Withdrawn():
                self._close()
                self._note("the attempt broke off; the answer begins anew")
            case _:
                assert_never(change)

    def stopping(self, number: signal.Signals) -> None:
        more = "; Ctrl-C again leaves at once" if number == signal.SIGINT else ""
        self._close()
        self._note(f"cancelling the prompt{more}")
        self.waits("cancelling the prompt")

    def tick(self) -> None:
        if self._err.is_terminal:
            if self._open is None:
                self._spinner.tick()
        elif self._waits is not None and not self._waits[0].startswith(_RUNNING):
            what, since = self._waits
            if time.monotonic() - since > _SAY_AFTER_S:
                self._waits = (what, float("inf"))
                remark(f"{what} …")

    def succeeded(self, message: Json) -> None:
        self._close()
        if not self._out.is_terminal:
            print_text(text_of(message))

    def failed(self, error: Json) -> None:  # noqa: ARG002 - the command's last sentence says it
        self._close()

    def pause(self) -> None:
        self._close()

    def _head(self, info: Json) -> None:
        if self._headed:
            return
        self._headed = True
        self._spinner.clear()
        model = f"{info['providerID']}/{info['modelID']}"
        self._err.write(f"> {info['agent']} · {model}", BOLD)
        self._err.write(f" · {self._name}", DIM)
        if info["providerID"] == _OFFLINE:
            self._err.write(" · offline: echoes you", DIM)
        self._err.write("\n")

    def _grow(self, grown: Grown) -> None:
        ink, style = (self._out, "") if grown.kind == "text" else (self._err, THINKING)
        if not ink.is_terminal:
            return
        text = self._held + grown.text
        if self._open != grown.part_id:
            text = text.lstrip()
            if not text:
                return
            self._gap()
            self._open, self._open_ink = grown.part_id, ink
            if grown.kind != "text":
                ink.write("Thinking: ", style)
        body = text.rstrip("\n")
        self._held = text[len(body) :]
        ink.write(body, style)

    def _part(self, part: Json, *, is_done: bool) -> None:
        match part["type"]:
            case "text":
                self._close()
            case "reasoning":
                self._close()
                thought = part["text"].strip()
                if not self._err.is_terminal and thought:
                    self._err.write(f"Thinking: {thought}\n")
            case "tool":
                self._show_tool(part, is_done=is_done)
            case "step-start" | "step-finish":
                pass
            case "file":
                self._block(f"[file {part.get('filename') or 'without a name'}, {part.get('mime', 'of no type')}]")
            case kind:
                self._block(f"[{kind}]")

    def _show_tool(self, part: Json, *, is_done: bool) -> None:
        state = part["state"]
        heading = _heading(part)
        if not is_done:
            self._close()
            self._tool = heading
            self.waits(_RUNNING)
            return
        self._tool = ""
        self._block(heading, BOLD)
        if state["status"] == "error":
            self._err.write(f"{str(state.get('error', '')).rstrip()}\n", RED)
        elif str(state.get("output") or "").strip():
            self._err.write(f"{str(state['output']).rstrip()}\n", DIM)
        self.waits(_RUNNING)

    def _block(self, text: str, style: str = "") -> None:
        self._close()
        self._gap()
        self._err.write(f"{text}\n", style)

    def _note(self, text: str) -> None:
        self._spinner.clear()
        self._err.write(f"{text}\n", YELLOW)

    def _gap(self) -> None:
        """Begin a block of its own."""
        self._close()
        if self._err.is_terminal:
            self._err.write("\n")

    def _close(self) -> None:
        """Bring the screen to the beginning of an empty line."""
        self._spinner.clear()
        if self._open is not None:
            self._open_ink.write("\n")
        self._open, self._held = None, ""


def _heading(part: Json) -> str:
    given = part["state"].get("input") or {}
    if part["tool"] == "bash" and isinstance(given.get("command"), str):
        return f"$ {given['command']}"
    return f"⚙ {part['tool']} {json.dumps(given, ensure_ascii=False)}"
