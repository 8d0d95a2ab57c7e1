"""Errors in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from api.paths import route_path
from domain.errors import Conflict, InvalidRequest, PromptqError

Json = dict[str, Any]

ROOT = "/v1"

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    501: "server_error",
    503: "server_error",
}
_CODES: Mapping[int, str] = {
    401: "invalid_api_key",
    404: "not_found",
    409: "conflict",
    413: "too_large",
    429: "backlog_full",
    503: "unavailable",
}


def is_openai(scope: Scope) -> bool:
    """Tell whether a request is for one of OpenAI's routes."""
    path = route_path(scope)
    return path == ROOT or path.startswith(f"{ROOT}/")


def refusal(error: PromptqError | str, status: int) -> Json:
    """Say what is wrong."""
    param = None
    if isinstance(error, InvalidRequest):
        param = error.field
    elif isinstance(error, Conflict):
        param = ", ".join(error.fields) or None
    return {
        "error": {
            "message": str(error),
            "type": _TYPES.get(status, "invalid_request_error"),
            "param": param,
            "code": _CODES.get(status),
        }
    }
