"""Folds what an executor yields into the parts of an assistant message, in OpenCode's shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, assert_never

from domain.answers import tokens
from domain.clock import Millis
from domain.ids import new_part_id
from domain.messages import Part, Usage
from executors.base import Event, ReasoningDelta, StepFinish, TextDelta, ToolCall, ToolResult


class Folding:
    """The answer of one attempt as it grows. What it has so far can be taken at any time."""

    __slots__ = ("_clock", "_in_step", "_kind", "_open", "_parts", "_pieces", "_tools", "cost", "finish", "usage")

    def __init__(self, clock: Callable[[], Millis]) -> None:
        """Begin an empty answer; `clock` gives the store's time, for the times of parts."""
        self._clock = clock
        self._parts: list[dict[str, Any]] = []
        self._in_step = False
        #: The text or reasoning part that still grows, and its pieces.
        self._kind: type[TextDelta | ReasoningDelta] | None = None
        self._open: dict[str, Any] = {}
        self._pieces: list[str] = []
        self._tools: dict[str, dict[str, Any]] = {}
        #: Of all finished steps; None before the first.
        self.usage: Usage | None = None
        self.cost: float | None = None
        #: Why the last finished step ended.
        self.finish: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the last thing that happened was the end of a step."""
        return not self._in_step and self.finish is not None

    def add(self, event: Event) -> None:
        """Take the next event."""
        kind = type(event)
        if kind is self._kind:
            self._pieces.append(event.text)  # type: ignore[union-attr]
            return
        self._close()
        if not self._in_step:
            self._in_step = True
            self._parts.append({"id": new_part_id(), "type": "step-start"})
        match event:
            case TextDelta(text) | ReasoningDelta(text):
                self._begin(event, text)
            case ToolCall():
                self._call(event)
            case ToolResult():
                self._result(event)
            case StepFinish():
                self._finish(event)
            case _:
                assert_never(event)

    @property
    def so_far(self) -> Sequence[dict[str, Any]]:
        """All parts as they are now; a text that still grows is empty, and `growing` has its pieces."""
        return self._parts

    def growing(self, part: Part) -> Sequence[str] | None:
        """Return the pieces of a text so far if it still grows."""
        return self._pieces if self._kind is not None and part is self._open else None

    def parts(self) -> Sequence[Part]:
        """End what is still open and return all parts, in order. A tool that still runs has been cut off."""
        self._close()
        for call_id in list(self._tools):
            self._result(ToolResult(call_id, error="interrupted"))
        return tuple(self._parts)

    def _begin(self, event: TextDelta | ReasoningDelta, text: str) -> None:
        self._kind = type(event)
        name = "text" if isinstance(event, TextDelta) else "reasoning"
        self._open = {"id": new_part_id(), "type": name, "text": "", "time": {"start": self._clock()}}
        self._pieces = [text]
        self._parts.append(self._open)

    def _close(self) -> None:
        if self._kind is None:
            return
        self._open["text"] = "".join(self._pieces)
        self._open["time"]["end"] = self._clock()
        self._kind = None

    def _call(self, event: ToolCall) -> None:
        state = {"status": "running", "input": dict(event.input), "time": {"start": self._clock()}}
        part = {"id": new_part_id(), "type": "tool", "callID": event.call_id, "tool": event.tool, "state": state}
        self._tools[event.call_id] = part
        self._parts.append(part)

    def _result(self, event: ToolResult) -> None:
        part = self._tools.pop(event.call_id, None)
        if part is None:
            raise ValueError("a result of a tool that was not called")
        state = part["state"]
        state["time"]["end"] = self._clock()
        if event.error is not None:
            state.update(status="error", error=event.error)
        else:
            state.update(status="completed", output=event.output, title=event.title, metadata={})

    def _finish(self, event: StepFinish) -> None:
        self._in_step = False
        self.finish = event.reason
        self.usage = event.usage if self.usage is None else self.usage.plus(event.usage)
        if event.cost is not None:
            self.cost = (self.cost or 0.0) + event.cost
        self._parts.append(
            {
                "id": new_part_id(),
                "type": "step-finish",
                "reason": event.reason,
                "cost": event.cost or 0,
                "tokens": tokens(event.usage),
            }
        )
