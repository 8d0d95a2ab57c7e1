"""Hears an answer grow: the texts of a session's events."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from api.streams.clients import Client
from api.streams.rendering import Kind, Rendered

_decode = msgspec.json.decode


class Listener:
    """What has been heard of one answer and not been asked for yet. For one event loop."""

    def __init__(self, tenant: str, session_id: str) -> None:
        self.client = _Ear(tenant, Kind.NAMED, session_id)
        self.client.hear = self._hear
        #: How much of each text part has been heard, by its ID: one that was not heard from its beginning is left out.
        self._parts: dict[str, int] = {}
        #: The assistant messages that have begun.
        self._answers: set[str] = set()
        self._waiting: list[str] = []
        self._wake = asyncio.Event()

    async def more(self) -> str:
        """Wait for the next piece of text."""
        while not self._waiting:
            self._wake.clear()
            await self._wake.wait()
        text = "".join(self._waiting)
        self._waiting.clear()
        return text

    def _hear(self, bundle: Rendered) -> None:
        for line in bundle.heard.lines:
            event = _decode(line)
            properties = event["properties"]
            match event["type"]:
                case "message.updated" if properties["info"]["role"] == "assistant":
                    self._answers.add(properties["info"]["id"])
                case "message.part.updated" if properties["part"].get("type") == "text":
                    self._whole(properties["part"])
                case "message.part.delta" if properties["partID"] in self._parts:
                    self._add(properties["partID"], properties["delta"])

    def _whole(self, part: dict[str, Any]) -> None:
        if part["messageID"] in self._answers:
            heard = self._parts.setdefault(part["id"], 0)
            self._add(part["id"], part["text"][heard:])

    def _add(self, part_id: str, text: str) -> None:
        if text:
            self._parts[part_id] += len(text)
            self._waiting.append(text)
            self._wake.set()


class _Ear(Client):
    """A client of the hub that listens and sends nothing."""

    hear: Any = None

    def take_in(self, bundle: Rendered) -> None:
        self.hear(bundle)

    def put(self, chunk: bytes) -> None:
        """Heartbeats are nothing that is said."""
