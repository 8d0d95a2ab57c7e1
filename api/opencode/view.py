"""The server as it is seen under `/ephemeral`: every session that is made there is ephemeral, and no other is shown.

`opencode run --attach URL/ephemeral "…"` leaves nothing behind. Everything else is as it is without the prefix.
"""

from __future__ import annotations

import re
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import render
from api.paths import route_path
from domain.clock import Millis
from domain.errors import InvalidRequest, PromptqError, SessionNotFound
from domain.ids import EPHEMERAL_PREFIX, is_ephemeral
from domain.sessions import Creation

PREFIX = "/ephemeral"

_SESSION = re.compile(r"/(?:api/)?session/(ses_[A-Za-z0-9_-]+)(/[a-z_]+)?", re.ASCII)
_MAKING = frozenset({"/prompt_async", "/message", "/prompt"})


class EphemeralView:
    """Lets requests under the prefix through as if it were not there, and remembers that it was."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"] + "/").startswith(PREFIX + "/"):
            scope = {**scope, "root_path": PREFIX, "state": {**scope.get("state", {}), "ephemeral": True}}
            try:
                _check_name(scope)
            except PromptqError as error:
                await render(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_on(scope: Scope) -> bool:
    """Tell whether a request came under the prefix."""
    return bool(scope.get("state", {}).get("ephemeral"))


def of_view(creation: Creation, run_ttl_ms: Millis) -> Creation:
    """Give a session that is made in the view its TTL, unless the caller gave one.

    A session whose caller says that no question may be asked in it is an unattended run's: nobody comes back to it.
    """
    if creation.ttl_ms is None and is_ephemeral(creation.session_id) and _is_unattended(creation.permission or []):
        return creation.evolve(ttl_ms=run_ttl_ms)
    return creation


def _is_unattended(permission: list[Any]) -> bool:
    return {"permission": "question", "pattern": "*", "action": "deny"} in permission


def _check_name(scope: Scope) -> None:
    """Refuse to make a durable session here, and to show one.

    Raises:
        InvalidRequest: a prompt to a session that is not ephemeral.
        SessionNotFound: something else with one.
    """
    found = _SESSION.match(route_path(scope))
    if found is None or is_ephemeral(found[1]):
        return
    if scope["method"] == "POST" and found[2] in _MAKING:
        raise InvalidRequest(
            f"sessionID: all sessions under {PREFIX} are ephemeral, and their IDs start {EPHEMERAL_PREFIX!r}",
            field="sessionID",
        )
    raise SessionNotFound(found[1])
