"""The answer to one prompt as it is put together from events, each piece said once. No I/O.

Events may come twice, late or not at all, and an attempt may begin anew. Whatever comes, `Answer` returns only what is
new, and at the end `settle` brings what is shown to what is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

TEXTS = ("text", "reasoning")


@dataclass(frozen=True)
class Begun:
    """An attempt at the answer has begun: its message, without parts."""

    info: Json


@dataclass(frozen=True)
class Grown:
    """A text has grown."""

    part_id: str
    #: `text` or `reasoning`.
    kind: str
    text: str


@dataclass(frozen=True)
class PartNow:
    """A part is there, or has changed. Of a text: it is whole, and `Grown` has told all of it."""

    part: Json
    #: Whether it will not change any more.
    is_done: bool


@dataclass(frozen=True)
class Withdrawn:
    """What was shown since `Begun` is void: the attempt broke off, or something else is kept."""

    message_id: str


Change = Begun | Grown | PartNow | Withdrawn


@dataclass
class _Shown:
    """What has been said of a part."""

    part: Json
    #: All that has been said of a text.
    text: str = ""
    #: How far into the text the stream is: less than what was said while a stream tells it again.
    at: int = 0
    is_done: bool = False


@dataclass
class Answer:
    """What is known of the answer to one prompt."""

    #: The prompt's message.
    prompt_id: str
    #: The assistant message of the latest attempt.
    info: Json | None = None
    _parts: dict[str, _Shown] = field(default_factory=dict)
    _withdrawn: set[str] = field(default_factory=set)
    #: Messages that are not of this answer.
    _others: set[str] = field(default_factory=set)
    #: Events about messages of which nobody has said yet whose answer they are.
    _early: dict[str, list[Json]] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether an event has said that the attempt has ended."""
        return self.info is not None and ("completed" in self.info["time"] or "error" in self.info)

    def take(self, event: Json) -> list[Change]:
        """Take the next event; return what it changes."""
        properties = event.get("properties") or {}
        match event.get("type"):
            case "message.updated":
                return self._message(properties["info"])
            case "message.removed":
                return self._remove(properties["messageID"])
            case "message.part.updated":
                return self._about(properties["part"]["messageID"], event)
            case "message.part.delta":
                return self._about(properties["messageID"], event)
            case _:
                return []

    def settle(self, message: Json) -> list[Change]:
        """Take the message `{info, parts}` that is kept; return what was not told of it, or was told otherwise."""
        self._withdrawn.discard(message["info"]["id"])
        changes = self._message(message["info"])
        kept = {part["id"]: part for part in message["parts"]}
        if any(not _fits(shown, kept.get(part_id)) for part_id, shown in self._parts.items()):
            changes += self._begin_anew(message["info"])
        for part in message["parts"]:
            changes += self._part(part, settled=True)
        return changes

    def _message(self, info: Json) -> list[Change]:
        message_id = info["id"]
        if info.get("role") != "assistant" or info.get("parentID") != self.prompt_id:
            self._others.add(message_id)
            self._early.pop(message_id, None)
            return []
        if message_id in self._withdrawn:
            return []
        changes: list[Change] = []
        if self.info is None or self.info["id"] != message_id:
            changes += self._begin_anew(info)
        self.info = info
        for event in self._early.pop(message_id, ()):
            changes += self.take(event)
        return changes

    def _begin_anew(self, info: Json) -> list[Change]:
        before, self.info = self.info, info
        had, self._parts = bool(self._parts), {}
        changes: list[Change] = [Withdrawn(before["id"])] if before is not None and had else []
        return [*changes, Begun(info)]

    def _remove(self, message_id: str) -> list[Change]:
        self._withdrawn.add(message_id)
        self._early.pop(message_id, None)
        if self.info is None or self.info["id"] != message_id:
            return []
        self.info, self._parts = None, {}
        return [Withdrawn(message_id)]

    def _about(self, message_id: str, event: Json) -> list[Change]:
        if self.info is None or self.info["id"] != message_id:
            if message_id not in self._others | self._withdrawn:
                self._early.setdefault(message_id, []).append(event)
            return []
        properties = event["properties"]
        if event["type"] == "message.part.updated":
            return self._part(properties["part"])
        return self._delta(properties["partID"], properties["delta"])

    def _delta(self, part_id: str, text: str) -> list[Change]:
        shown = self._parts.get(part_id)
        if shown is None or shown.is_done:
            return []  # what is missing comes with the part, whole
        new = text[max(0, len(shown.text) - shown.at) :]
        shown.at += len(text)
        shown.text += new
        return [Grown(part_id, shown.part["type"], new)] if new else []

    def _part(self, part: Json, *, settled: bool = False) -> list[Change]:
        shown = self._parts.setdefault(part["id"], _Shown(part))
        if shown.is_done:
            return []
        before, shown.part = shown.part, part
        if part["type"] not in TEXTS:
            is_new = before is part
            shown.is_done = settled or _is_done(part)
            return [PartNow(part, shown.is_done)] if is_new or shown.is_done or part != before else []
        changes: list[Change] = []
        missing = part["text"][len(shown.text) :] if part["text"].startswith(shown.text) else ""
        shown.text += missing
        shown.at = len(part["text"])
        if missing:
            changes.append(Grown(part["id"], part["type"], missing))
        if settled or "end" in (part.get("time") or {}):
            shown.is_done = True
            changes.append(PartNow(part, is_done=True))
        return changes


def _is_done(part: Json) -> bool:
    return part["type"] != "tool" or part["state"]["status"] in {"completed", "error"}


def _fits(shown: _Shown, kept: Json | None) -> bool:
    """Whether what was said of a part is the beginning of what is kept."""
    return kept is not None and str(kept.get("text", "")).startswith(shown.text)
