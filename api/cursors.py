"""Where a page of a list ends: an opaque cursor, told in the headers `X-Next-Cursor` and `Link`, as OpenCode does."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import TypeVar

import msgspec
from fastapi import Request

from domain.clock import Millis
from domain.errors import InvalidRequest
from domain.messages import Role

T = TypeVar("T")
Place = tuple[Millis, str]
"""What orders a list: a time (or a sequence number), then an ID (or a role)."""

_LONGEST = 512
_decoder = msgspec.json.Decoder(tuple[int, str])


def write(place: Place) -> str:
    """Write a place as a cursor."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read(cursor: str | None, *, field: str = "cursor") -> Place | None:
    """Read a cursor.

    Raises:
        InvalidRequest: it is none that this server made.
    """
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor[:_LONGEST] + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        number, name = _decoder.decode(text)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        number, name = -1, ""
    if not 0 <= number < 2**63 or not name.isascii() or not name.isprintable():
        raise InvalidRequest(f"{field}: is not a cursor of this server", field=field)
    return number, name


def read_message(cursor: str | None, *, field: str) -> Place | None:
    """Read a cursor of a list of messages: a sequence number and a role.

    Raises:
        InvalidRequest: it is none that this server made.
    """
    place = read(cursor, field=field)
    if place is not None and place[1] not in tuple(Role):
        raise InvalidRequest(f"{field}: is not a cursor of this server", field=field)
    return place


def page(
    found: list[T], limit: int, place_of: Callable[[T], Place], request: Request
) -> tuple[list[T], dict[str, str]]:
    """Cut a list that was asked for one more than `limit`; returns it with the headers that lead on, if it goes on."""
    if len(found) <= limit:
        return found, {}
    kept = found[:limit]
    return kept, onward(place_of(kept[-1]), request, parameter="cursor")


def onward(place: Place, request: Request, *, parameter: str) -> dict[str, str]:
    """The headers that lead to the next page."""
    cursor = write(place)
    url = request.url.include_query_params(**{parameter: cursor})
    return {"X-Next-Cursor": cursor, "Link": f'<{url}>; rel="next"'}
