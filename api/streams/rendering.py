"""Events as a stream carries them. Each is rendered once a process for each kind of stream, however many clients."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

import msgspec

from domain.events import Event
from domain.ids import session_tag
from domain.shapes import PROJECT
from storage.notices.wire import Heard

_encoder = msgspec.json.Encoder()


def encoded(event: Event) -> bytes:
    """Write an event as JSON."""
    return _encoder.encode(event)


def framed(line: bytes, name: str = "") -> bytes:
    """Write an event, as JSON, the way that a stream carries it; `name` is what `Last-Event-ID` will say."""
    return b"id: %b\ndata: %b\n\n" % (name.encode(), line) if name else b"data: %b\n\n" % line


class Rendered:
    """A bundle in the three ways that clients read it."""

    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    @cached_property
    def plain(self) -> bytes:
        """For `/event`."""
        return b"".join(framed(line) for line in self.heard.lines)

    @cached_property
    def wrapped(self) -> bytes:
        """For `/global/event`: each with where it happened."""
        heard = self.heard
        where = {"directory": heard.directory, "project": PROJECT}
        if heard.workspace_id is not None:
            where["workspace"] = heard.workspace_id
        return wrap(where, heard.lines)

    @cached_property
    def named(self) -> bytes:
        """For the stream of a session: each with the name that a client comes back with."""
        return self.after(-1)

    def after(self, index: int) -> bytes:
        """For the stream of a session, what comes after the event with this index."""
        heard = self.heard
        if not heard.place:
            return self.plain
        place = f"{session_tag(heard.session_id, heard.incarnation)}.{heard.place}"
        lines = list(enumerate(heard.lines))[index + 1 :]
        return b"".join(framed(line, f"{place}.{number}") for number, line in lines)


def wrap(where: dict[str, str], lines: Iterable[bytes]) -> bytes:
    """Write events for `/global/event`."""
    head = _encoder.encode(where)[:-1]
    comma = b"," if where else b""
    return b"".join(b'data: %b%b"payload":%b}\n\n' % (head, comma, line) for line in lines)
