"""The query parameters of OpenCode's plain routes: known names only, and where a caller says that it is."""

from __future__ import annotations

import re
from collections.abc import Collection

from fastapi import Request
from starlette.datastructures import QueryParams

from api.paths import route_path
from domain.errors import InvalidRequest

HOME = "/"
"""Where everything is that is nowhere else."""

LONGEST_DIRECTORY = 4096
LONGEST = 256
"""Characters of any other parameter."""

_WORKSPACE = re.compile(r"wrk[A-Za-z0-9_-]{0,128}", re.ASCII)


def _names(path: str, what: str) -> tuple[str, ...]:
    """Return how callers of a path say where they are; the newest SDK says it twice under `/api`."""
    return (f"location[{what}]", what) if path.startswith("/api/") else (what,)


def checked(request: Request, takes: Collection[str] = (), needs: Collection[str] = ()) -> QueryParams:
    """Read a query that may hold `takes` and must hold `needs`, besides where the caller is.

    Raises:
        InvalidRequest: something else is in it, something is missing, or something is too long.
    """
    query = check_names(request, (*takes, *needs))
    for name, value in query.multi_items():
        if (name in takes or name in needs) and (len(value) > LONGEST or "\0" in value):
            raise InvalidRequest(f"{name}: must be at most {LONGEST} characters, none of them NUL", field=name)
    for name in needs:
        if name not in query:
            raise InvalidRequest(f"{name}: is required", field=name)
    return query


def check_names(request: Request, takes: Collection[str] = ()) -> QueryParams:
    """Read a query that may hold `takes`, which are not looked at, and where the caller is.

    Raises:
        InvalidRequest: something else is in it, or the place cannot be one.
    """
    query = request.query_params
    if not query:
        return query
    path = route_path(request.scope)
    directories, workspaces = _names(path, "directory"), _names(path, "workspace")
    for name, value in query.multi_items():
        if name in directories:
            if len(value) > LONGEST_DIRECTORY or "\0" in value:
                raise InvalidRequest(
                    f"{name}: must be at most {LONGEST_DIRECTORY} characters, none of them NUL", field=name
                )
        elif name in workspaces:
            if value and not _WORKSPACE.fullmatch(value):
                raise InvalidRequest(f"{name}: must be 'wrk' followed by up to 128 of A-Z a-z 0-9 _ -", field=name)
        elif name not in takes:
            raise InvalidRequest(f"{name}: unknown parameter", field=name)
    return query


def directory_of(request: Request) -> str:
    """Return the directory that a caller says it works in."""
    return _said(request, "directory") or HOME


def workspace_of(request: Request) -> str | None:
    """Return the workspace that a caller says it works in."""
    return _said(request, "workspace")


def _said(request: Request, what: str) -> str | None:
    names = _names(route_path(request.scope), what)
    return next((value for name in names if (value := request.query_params.get(name))), None)
