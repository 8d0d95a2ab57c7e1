"""The latest events of sessions that are watched, for those who come back: one Redis stream each.

A client that comes back names the last event that it saw. If that is still in the history, what came after it is
replayed; if it is not (trimmed, expired, or lost with its Redis), there is a gap.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.events import Bundle
from domain.ids import session_tag
from domain.record import Record
from domain.sessions import Session
from storage.notices.names import Names
from storage.notices.publishing import KEPT_MS
from storage.notices.wire import Heard, decode, encode

PAGE = 200
"""Bundles that are read at once."""

OPEN = """
-- Makes a session's history, if the session is there and has none, and returns the place of its latest bundle.
-- KEYS: the history; of an ephemeral session also a key that lives as long as the session does.
-- ARGV: how long to keep it (ms; unless the second key says it), and a bundle that tells nothing, to begin with.
local left = tonumber(ARGV[1])
if KEYS[2] then
  left = redis.call('PTTL', KEYS[2])
end
if left <= 0 then
  return ''
end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local place = last[1] and last[1][1] or redis.call('XADD', KEYS[1], '*', 'b', ARGV[2])
redis.call('PEXPIRE', KEYS[1], left)
return place
"""

_NAME = re.compile(r"([0-9A-Za-z]{10})\.([0-9]{1,20}-[0-9]{1,20})(?:\.([0-9]{1,6}))?", re.ASCII)


@dataclass(frozen=True)
class Seen(Record):
    """The last event that a client saw."""

    #: Which incarnation of the session.
    tag: str
    #: Which bundle.
    place: str
    #: Which event of it; None: all of them.
    number: int | None = None

    @classmethod
    def parse(cls, name: str) -> Seen | None:
        """Read what a client sent as `Last-Event-ID`; None if it is none of ours."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(match[1], match[2], int(match[3]) if match[3] is not None else None)


def name_of(session_id: str, incarnation: int, place: str, number: int | None = None) -> str:
    """Name an event, or a whole bundle, for those who will come back."""
    whole = f"{session_tag(session_id, incarnation)}.{place}"
    return whole if number is None else f"{whole}.{number}"


class Histories:
    """Reads histories. For one event loop."""

    def __init__(self, client: Any, names: Names) -> None:
        """Make one over an asynchronous client of Redis."""
        self._client = client
        self._names = names

    async def open(self, session: Session) -> str:
        """Begin a session's history, if it has none. Returns the place of the latest bundle, or nothing."""
        keys = self._keys(session)
        place: bytes = await self._client.eval(OPEN, len(keys), *keys, KEPT_MS, encode(Bundle.of(session, ())))
        return place.decode()

    async def since(self, session: Session, place: str) -> Sequence[Heard] | None:
        """Return the bundles from a place on, that one first; None if it is not there any more."""
        found = await self._from(session, place)
        return found if found and found[0].place == place else None

    async def all(self, session: Session) -> Sequence[Heard]:
        """Return all bundles that are kept."""
        return await self._from(session, "-")

    async def _from(self, session: Session, first: str) -> list[Heard]:
        key, *_ = self._keys(session)
        found: list[Heard] = []
        while True:
            entries = await self._client.xrange(key, first, "+", count=PAGE)
            found += (decode(session.tenant, fields[b"b"], place.decode()) for place, fields in entries)
            if len(entries) < PAGE:
                return found
            first = f"({entries[-1][0].decode()}"

    def _keys(self, session: Session) -> list[str]:
        return self._names.history(session.tenant, session.id, session.incarnation)
