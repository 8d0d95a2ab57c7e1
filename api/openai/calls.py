"""What the routes under `/v1` take from a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, ConfigDict

from api.calls import Call
from api.opencode.refusals import NotOffered
from domain.errors import InvalidRequest
from storage.batches import Batches

SHORTEST_TTL_S = 3_600
LONGEST_TTL_S = 30 * 86_400


class OpenAIQuery(BaseModel):
    """A query without parameters that it does not know."""

    model_config = ConfigDict(extra="forbid")


NoQuery = Annotated[OpenAIQuery, Query()]


def batches_of(call: Call) -> Batches:
    """Return where files and batches are kept.

    Raises:
        NotOffered: nowhere.
    """
    if call.means.batches is None:
        raise NotOffered("this server keeps no files and batches")
    return call.means.batches


def check_seconds(given: str | int | None, field: str) -> int:
    """Read how long a file is to be kept.

    Raises:
        InvalidRequest: it is no number of seconds between an hour and thirty days.
    """
    try:
        found = int(given or "")
    except ValueError:
        found = -1
    if not SHORTEST_TTL_S <= found <= LONGEST_TTL_S:
        raise InvalidRequest(f"{field}: must be {SHORTEST_TTL_S} to {LONGEST_TTL_S}", field=field)
    return found
