"""Bundles of events as bytes: a line of JSON that says what they are about, then a line for each event.

Events are encoded once, by who publishes them. Who hears them reads the first line and passes the others on.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from domain.events import Bundle, Stage
from domain.record import Record

_encoder = msgspec.json.Encoder()


class _Header(msgspec.Struct, array_like=True):
    session_id: str
    incarnation: int
    directory: str
    workspace_id: str | None
    job_id: str | None
    seq: int
    attempt: int
    stage: int


_headers = msgspec.json.Decoder(_Header)


@dataclass(frozen=True)
class Heard(Record):
    """A bundle as it was heard."""

    tenant: str
    session_id: str
    incarnation: int
    directory: str
    workspace_id: str | None
    job_id: str | None
    seq: int
    attempt: int
    stage: Stage
    #: Where it is in the session's history, `MILLISECONDS-NUMBER`; empty if it is not kept there.
    place: str
    #: Each event, as JSON.
    lines: tuple[bytes, ...]


def encode(bundle: Bundle) -> bytes:
    """Write a bundle."""
    header = _Header(
        bundle.session_id,
        bundle.incarnation,
        bundle.directory,
        bundle.workspace_id,
        bundle.job_id,
        bundle.seq,
        bundle.attempt,
        bundle.stage,
    )
    return b"\n".join((_encoder.encode(header), *map(_encoder.encode, bundle.events)))


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
    return Heard(
        tenant,
        header.session_id,
        header.incarnation,
        header.directory,
        header.workspace_id,
        header.job_id,
        header.seq,
        header.attempt,
        Stage(header.stage),
        place,
        tuple(lines),
    )


def split(message: bytes) -> tuple[str, bytes]:
    """Read what a channel carries: the place in the history, and the bundle."""
    place, _, data = message.partition(b"\n")
    return place.decode(), data
