"""Where OpenCode's clients are told that they are: one project, in which every directory is a name and nothing more.

promptq runs no tools in a directory of its own, reads no files of its machine for callers, and says nothing of it.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api.calls import LeanRoute
from api.opencode.queries import HOME, checked, directory_of, workspace_of
from api.replies import reply
from domain.shapes import PROJECT, VERSION

router = APIRouter(route_class=LeanRoute, include_in_schema=False)

_PROJECT = {"id": PROJECT, "worktree": HOME, "time": {"created": 0, "updated": 0}, "sandboxes": []}


def location_of(request: Request) -> dict[str, Any]:
    """Return where a caller of `/api/…` says that it is, as those routes tell it."""
    location: dict[str, Any] = {"directory": directory_of(request), "project": {"id": PROJECT, "directory": HOME}}
    workspace = workspace_of(request)
    return location if workspace is None else {**location, "workspaceID": workspace}


@router.get("/global/health")
async def global_health(request: Request) -> Response:
    """Answer, if the process lives."""
    checked(request)
    return reply({"healthy": True, "version": VERSION})


@router.get("/api/health")
async def api_health(request: Request) -> Response:
    """Answer, if the process lives."""
    checked(request)
    return reply({"healthy": True})


@router.get("/path")
async def path(request: Request) -> Response:
    """Repeat where the caller says that it is. The server's own directories are not told."""
    checked(request)
    home = {"home": HOME, "state": HOME, "config": HOME, "worktree": HOME}
    return reply({**home, "directory": directory_of(request)})


@router.get("/project")
async def projects(request: Request) -> Response:
    """List the one project."""
    checked(request)
    return reply([_PROJECT])


@router.get("/project/current")
async def project(request: Request) -> Response:
    """Return the one project."""
    checked(request)
    return reply(_PROJECT)


@router.get("/api/location")
async def location(request: Request) -> Response:
    """Repeat where the caller says that it is."""
    checked(request)
    return reply(location_of(request))
