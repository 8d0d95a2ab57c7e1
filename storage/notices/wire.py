"""Bundles of events as bytes: a line of JSON that says what they are about, then a line for each event.

Events are encoded once, by who publishes them. Who hears them reads the first line and passes the others on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from domain.events import Bundle, Order, Stage
from domain.record import Record

LARGE = 32 * 1024
"""Bytes. Larger parts of messages are not published: who hears of one reads it from the store, where it is anyway."""

TOO_LARGE = 1024 * 1024
"""Bytes. Larger events are not published at all."""

_encoder = msgspec.json.Encoder()


class _Header(msgspec.Struct, array_like=True):
    session_id: str
    incarnation: int
    directory: str
    workspace_id: str | None
    as_of: int
    job_id: str | None
    seq: int
    attempt: int
    stage: int
    prologue: int
    is_last: bool
    #: Events that are too large to be published: their numbers, each with the IDs of a message and a part of it.
    left_out: dict[int, tuple[str, str]]


_headers = msgspec.json.Decoder(_Header)


@dataclass(frozen=True)
class Heard(Record):
    """A bundle as it was heard."""

    tenant: str
    session_id: str
    incarnation: int
    directory: str
    workspace_id: str | None
    as_of: int
    job_id: str | None
    seq: int
    attempt: int
    stage: Stage
    prologue: int
    is_last: bool
    #: Events that were too large to be published, by number: a message, and a part of it, in the store.
    left_out: Mapping[int, tuple[str, str]]
    #: Where it is in the session's history, `MILLISECONDS-NUMBER`; empty if it is not kept there.
    place: str
    #: Each event, as JSON.
    lines: tuple[bytes, ...]
    #: The number of the first of them: that of those before is gone.
    first: int = 0

    def in_order(self, order: Order) -> Heard | None:
        """Note that it is told now; returns what is to be told of it, or None if it comes too late."""
        known = order.knows(self.tenant, self.job_id)
        if not order.takes(self.tenant, self.job_id, self.attempt, self.stage):
            return None
        if not self.prologue or not known:
            return self
        lines, first = self.lines[self.prologue :], self.first + self.prologue
        return self.evolve(lines=lines, first=first, prologue=0)


def encode(bundle: Bundle) -> bytes:
    """Write a bundle. Large parts are left out where the store has them; what is larger still is not published."""
    lines: list[bytes] = []
    left_out: dict[int, tuple[str, str]] = {}
    is_kept = bundle.stage in {Stage.ADMITTED, Stage.BEGUN, Stage.ENDED}
    for event in bundle.events:
        line = _encoder.encode(event)
        part = event["properties"].get("part")
        if len(line) > LARGE and is_kept and part is not None:
            left_out[len(lines)] = (part["messageID"], part["id"])
            lines.append(b"")
        elif len(line) <= TOO_LARGE:
            lines.append(line)
    return b"\n".join((_encoder.encode(_header_of(bundle, left_out)), *lines))


def heard(bundle: Bundle) -> Heard:
    """Make of a bundle what those hear who are in the same process."""
    return _heard(bundle.tenant, _header_of(bundle, {}), "", map(_encoder.encode, bundle.events))


def decode(tenant: str, data: bytes, place: str = "") -> Heard:
    """Read a bundle.

    Raises:
        ValueError: it is none.
    """
    first, *lines = data.split(b"\n")
    try:
        header = _headers.decode(first)
    except msgspec.DecodeError as error:
        message = "not a bundle of events"
        raise ValueError(message) from error
    return _heard(tenant, header, place, lines)


def split(message: bytes) -> tuple[str, bytes]:
    """Read what a channel carries: the place in the history, and the bundle."""
    place, _, data = message.partition(b"\n")
    return place.decode(), data


def _header_of(bundle: Bundle, left_out: dict[int, tuple[str, str]]) -> _Header:
    return _Header(
        bundle.session_id,
        bundle.incarnation,
        bundle.directory,
        bundle.workspace_id,
        bundle.as_of,
        bundle.job_id,
        bundle.seq,
        bundle.attempt,
        bundle.stage,
        bundle.prologue,
        bundle.is_last,
        left_out,
    )


def _heard(tenant: str, header: _Header, place: str, lines: Iterable[bytes]) -> Heard:
    return Heard(
        tenant,
        header.session_id,
        header.incarnation,
        header.directory,
        header.workspace_id,
        header.as_of,
        header.job_id,
        header.seq,
        header.attempt,
        Stage(header.stage),
        header.prologue,
        header.is_last,
        header.left_out,
        place,
        tuple(lines),
    )
