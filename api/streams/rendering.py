"""Events as a stream carries them. Each is rendered once a process for each kind of stream, however many clients."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import cached_property

import msgspec

from domain.events import Event
from domain.shapes import PROJECT
from storage.notices.history import name_of
from storage.notices.wire import Heard

EVERYWHERE = "global"
"""The directory of what happens in none, as OpenCode calls it."""

_encoder = msgspec.json.Encoder()


class Kind(Enum):
    """How clients read events."""

    #: `/event`
    PLAIN = "plain"
    #: `/global/event`: each with where it happened.
    WRAPPED = "wrapped"
    #: `/session/{sessionID}/event`: each with the name that a client comes back with.
    NAMED = "named"


class Rendered:
    """A bundle in the three ways that clients read it."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    @cached_property
    def plain(self) -> bytes:
        """For `/event`."""
        return b"".join(map(_framed, self.heard.lines))

    @cached_property
    def wrapped(self) -> bytes:
        """For `/global/event`."""
        heard = self.heard
        where = {"directory": heard.directory, "project": PROJECT}
        if heard.workspace_id is not None:
            where["workspace"] = heard.workspace_id
        return b"".join(_wrapped(heard.lines, where))

    @cached_property
    def named(self) -> bytes:
        """For the stream of the session."""
        return self.after(-1)

    def after(self, number: int) -> bytes:
        """For the stream of the session, what comes after the event with this number."""
        heard = self.heard
        if not heard.place:
            return self.plain
        place = name_of(heard.session_id, heard.incarnation, heard.place)
        numbered = enumerate(heard.lines, heard.first)
        return b"".join(_framed(line, f"{place}.{index}") for index, line in numbered if index > number)


def rendered(events: Iterable[Event], kind: Kind, name: str = "") -> bytes:
    """Render events that are of no bundle; the last of them gets a name, if it has one."""
    lines = list(map(_encoder.encode, events))
    if kind is Kind.WRAPPED:
        return b"".join(_wrapped(lines, {"directory": EVERYWHERE}))
    last = len(lines) - 1
    return b"".join(_framed(line, name if index == last else "") for index, line in enumerate(lines))


def _framed(line: bytes, name: str = "") -> bytes:
    return b"id: %b\ndata: %b\n\n" % (name.encode(), line) if name else b"data: %b\n\n" % line


def _wrapped(lines: Iterable[bytes], where: dict[str, str]) -> Iterable[bytes]:
    head = _encoder.encode(where)[:-1]
    return (b'data: %b,"payload":%b}\n\n' % (head, line) for line in lines)
