"""Paths as routes see them, without the prefix of a view."""

from __future__ import annotations

from starlette.types import Scope


def route_path(scope: Scope) -> str:
    """Return a request's path as routes are matched with it."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"
