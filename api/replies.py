"""JSON answers, encoded in one way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import Response

_encoder = msgspec.json.Encoder()


def reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a JSON value."""
    return Response(_encoder.encode(value), status, headers, media_type="application/json")
