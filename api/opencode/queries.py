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

WORKSPACE_PATTERN = r"wrk[A-Za-z0-9_-]{0,128}"

_WORKSPACE = re.compile(WORKSPACE_PATTERN, re.ASCII)


def places(path: str) -> tuple[str, str]:
    """Return the names by which callers of a path say in which directory and in which workspace they are."""
    return ("location[directory]", "location[workspace]") if path.startswith("/api/") else ("directory", "workspace")


def checked(request: Request, takes: Collection[str] = (), needs: Collection[str] = ()) -> QueryParams:
    """Read a query that may hold `takes` and must hold `needs`, besides where the caller is.

    Raises:
        InvalidRequest: something else is in it, something is missing, or something is too long.
    """
    query = request.query_params
    if not query and not needs:
        return query
    directory, workspace = places(route_path(request.scope))
    for name, value in query.multi_items():
        if name == workspace:
            if value and not _WORKSPACE.fullmatch(value):
                raise InvalidRequest(f"{name}: must be 'wrk' followed by up to 128 of A-Z a-z 0-9 _ -", field=name)
        elif name == directory or name in takes or name in needs:
            limit = LONGEST_DIRECTORY if name == directory else LONGEST
            if len(value) > limit or "\0" in value:
                raise InvalidRequest(f"{name}: must be at most {limit} characters, none of them NUL", field=name)
        else:
            raise InvalidRequest(f"{name}: unknown parameter", field=name)
    for name in needs:
        if name not in query:
            raise InvalidRequest(f"{name}: is required", field=name)
    return query


def check_names(request: Request, takes: Collection[str] = ()) -> QueryParams:
    """Read a query that may hold `takes` and nothing else: under `/api`, most requests say nowhere where they are.

    Raises:
        InvalidRequest: something else is in it.
    """
    for name in request.query_params:
        if name not in takes:
            raise InvalidRequest(f"{name}: unknown parameter", field=name)
    return request.query_params


def directory_of(request: Request) -> str:
    """Return the directory that a caller says it works in."""
    return request.query_params.get(places(route_path(request.scope))[0]) or HOME


def workspace_of(request: Request) -> str | None:
    """Return the workspace that a caller says it works in."""
    return request.query_params.get(places(route_path(request.scope))[1]) or None
