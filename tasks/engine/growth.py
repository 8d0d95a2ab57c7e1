"""What an attempt's answer has grown by since it was looked at last.

Nothing is counted word by word: twenty times a second the answers of attempts that somebody watches are looked at, and
what came since then is told together. An attempt that is quicker than that is told of when it is committed, whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.clock import Millis
from domain.events import Event, part_delta, part_updated
from domain.messages import Part
from executors.folding import Folding

_TEXTS = frozenset({"text", "reasoning"})


@dataclass
class _Told:
    """How much of a part has been told."""

    #: Of a text: characters, and pieces while it grows.
    characters: int = 0
    pieces: int = 0
    #: Of a tool: its state.
    status: str = ""


class Growth:
    """The looks at one attempt's answer. On the event loop while the attempt runs; then whoever tells its end."""

    __slots__ = ("_done", "_message_id", "_session_id", "_told")

    def __init__(self, session_id: str, message_id: str) -> None:
        self._session_id = session_id
        self._message_id = message_id
        self._told: dict[str, _Told] = {}
        #: So many leading parts will not change any more, and have been told so.
        self._done = 0

    def look(self, folding: Folding, now: Millis) -> list[Event]:
        """Make the events of what has changed since the last look."""
        events: list[Event] = []
        parts = folding.so_far
        done = True
        for part in parts[self._done :]:
            done = self._part(folding, part, now, events) and done
            if done:
                self._done += 1
        return events

    def rest(self, parts: tuple[Part, ...], now: Millis) -> list[Event]:
        """Make the events of an answer's end: what is missing of texts told in part, and those parts whole."""
        events: list[Event] = []
        for part in parts[self._done :]:
            told = self._told.get(part["id"])
            missing = str(part["text"])[told.characters :] if told is not None and part["type"] in _TEXTS else ""
            if missing:
                events.append(self._delta(part, missing))
            events.append(self._updated(part, now))
        return events

    def _part(self, folding: Folding, part: dict[str, Any], now: Millis, events: list[Event]) -> bool:
        """Tell of one part; whether it will not change any more."""
        told = self._told.get(part["id"])
        first = told is None
        if told is None:
            told = self._told[part["id"]] = _Told()
        if part["type"] in _TEXTS:
            pieces = folding.growing(part)
            if first:
                start = {**part, "text": "", "time": {"start": part["time"]["start"]}}
                events.append(self._updated(start, now))
            if pieces is None:
                grown = part["text"][told.characters :]
            else:
                grown = "".join(pieces[told.pieces :])
                told.pieces = len(pieces)
            told.characters += len(grown)
            if grown:
                events.append(self._delta(part, grown))
            if pieces is None:
                events.append(self._updated(part, now))
            return pieces is None
        if part["type"] == "tool":
            status = part["state"]["status"]
            if status != told.status:
                told.status = status
                events.append(self._updated({**part, "state": _copy(part["state"])}, now))
            return status in {"completed", "error"}
        events.append(self._updated(part, now))
        return True

    def _updated(self, part: Part, now: Millis) -> Event:
        return part_updated(self._session_id, self._message_id, part, now)

    def _delta(self, part: Part, text: str) -> Event:
        return part_delta(self._session_id, self._message_id, part["id"], text)


def _copy(state: dict[str, Any]) -> dict[str, Any]:
    """A tool's state is changed in place when it ends; what was told stays."""
    return {**state, "time": dict(state["time"])}
