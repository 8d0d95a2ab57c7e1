"""How OpenCode's clients are told no: what promptq does not offer, and errors under `/api`, which go by `_tag`."""

from __future__ import annotations

from typing import Any

from starlette.types import Scope

from api.paths import route_path
from domain.errors import Conflict, InvalidRequest, MessageNotFound, NotFound, PromptqError, SessionNotFound

_TAGS = {"UnavailableError": "ServiceUnavailableError"}
"""What is called something else under `/api`."""


class NoSuchProvider(NotFound):
    """No executor answers for this provider."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"Provider not found: {provider}")
        self.provider = provider


class NotOffered(PromptqError):
    """OpenCode's server has this, and promptq does not."""


def is_newer(scope: Scope) -> bool:
    """Tell whether a request is for OpenCode's newer surface."""
    return route_path(scope).startswith("/api/")


def tagged(name: str, message: str, scope: Scope, error: Exception | None) -> dict[str, Any]:
    """Write an error as `/api` has it.

    Args:
        name: what it is called elsewhere.
        message: the sentence.
        scope: the request's.
        error: what went wrong, if it is more than its name and its sentence.
    """
    match error:
        case SessionNotFound():
            return {"_tag": "SessionNotFoundError", "sessionID": error.session_id, "message": message}
        case MessageNotFound():
            session_id = scope.get("path_params", {}).get("sessionID", "")
            names = {"sessionID": session_id, "messageID": error.message_id}
            return {"_tag": "MessageNotFoundError", **names, "message": message}
        case NoSuchProvider():
            return {"_tag": "ProviderNotFoundError", "providerID": error.provider, "message": message}
        case Conflict() if error.fields:
            return {"_tag": "ConflictError", "message": message, "resource": ", ".join(error.fields)}
    return {"_tag": _TAGS.get(name, name), "message": message}


def invalid(error: InvalidRequest, scope: Scope, kind: str) -> dict[str, Any]:
    """Write a 400 in the shape that OpenCode's document declares for the path."""
    about: dict[str, Any] = {"message": str(error), "kind": kind}
    if error.field is not None:
        about["field"] = error.field
    if is_named(route_path(scope), scope["method"]):
        return {"name": "BadRequest", "data": about}
    return {"_tag": "InvalidRequestError", **about}


def is_named(path: str, method: str) -> bool:
    """Tell whether a 400 of a path goes by `name` and not by `_tag`."""
    if path.startswith("/api/") or path in _TAGGED_READS:
        return False
    if path.startswith("/session/"):
        return path.endswith("/diff")
    return (path, method) != ("/session", "POST")


_TAGGED_READS = frozenset({"/experimental/tool", "/experimental/tool/ids", "/experimental/worktree"})
