"""What OpenCode's clients ask for at their start, or now and then, and promptq has none of: it says so.

Each answer is true: there are no language servers here, no files, no terminals, no open questions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response

from api.calls import Call, LeanRoute, Location
from api.opencode.offer import offer_of
from api.opencode.place import location_of
from api.opencode.queries import checked
from api.replies import reply
from domain.ids import check_session_id


@dataclass(frozen=True)
class Empty:
    """A path whose answer is always the same."""

    path: str
    value: Any
    #: Why there is none.
    reason: str
    #: Query parameters that it takes besides the caller's place, and those that it must be given.
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


NO_FILES = "promptq keeps no files and reads none of its machine for callers"
NO_TOOLS = "promptq runs no tools of its own"
NO_VCS = "promptq has no work tree"
NO_COMMANDS = "commands and skills belong to a machine with a project on it"
NO_MCP = "promptq connects to no MCP servers"
NO_TERMINALS = "promptq starts no terminals"
NO_QUESTIONS = "nothing that runs here asks: what a prompt may do is settled before it runs"
NO_ACCOUNTS = "models' credentials are the operator's; no caller adds any"
NO_WORKSPACES = "there is one project and it has no workspaces"
NO_BACKGROUND = "promptq has neither background agents nor a console"

PLAIN = (
    Empty("/command", [], NO_COMMANDS),
    Empty("/skill", [], NO_COMMANDS),
    Empty("/lsp", [], NO_TOOLS),
    Empty("/formatter", [], NO_TOOLS),
    Empty("/mcp", {}, NO_MCP),
    Empty("/vcs", {}, NO_VCS),
    Empty("/vcs/status", [], NO_VCS),
    Empty("/vcs/diff", [], NO_VCS, takes=("context",), needs=("mode",)),
    Empty("/find", [], NO_FILES, needs=("pattern",)),
    Empty("/find/file", [], NO_FILES, takes=("dirs", "type", "limit"), needs=("query",)),
    Empty("/find/symbol", [], NO_FILES, needs=("query",)),
    Empty("/file", [], NO_FILES, needs=("path",)),
    Empty("/file/status", [], NO_FILES),
    Empty("/pty", [], NO_TERMINALS),
    Empty("/pty/shells", [], NO_TERMINALS),
    Empty("/question", [], NO_QUESTIONS),
    Empty("/permission", [], NO_QUESTIONS),
    Empty("/provider/auth", {}, NO_ACCOUNTS),
    Empty("/project/{projectID}/directories", [], NO_WORKSPACES),
    Empty("/experimental/capabilities", {"backgroundSubagents": False}, NO_BACKGROUND),
    Empty("/experimental/console", {"consoleManagedProviders": [], "switchableOrgCount": 0}, NO_BACKGROUND),
    Empty("/experimental/console/orgs", {"orgs": []}, NO_BACKGROUND),
    Empty("/experimental/tool", [], NO_TOOLS, needs=("provider", "model")),
    Empty("/experimental/tool/ids", [], NO_TOOLS),
    Empty("/experimental/resource", {}, NO_MCP),
    Empty("/experimental/worktree", [], NO_VCS),
    Empty("/experimental/workspace", [], NO_WORKSPACES),
    Empty("/experimental/workspace/adapter", [], NO_WORKSPACES),
    Empty("/experimental/workspace/status", [], NO_WORKSPACES),
    Empty("/api/permission/saved", {"data": []}, NO_QUESTIONS, takes=("projectID",)),
)

LOCATED = (
    Empty("/api/command", [], NO_COMMANDS),
    Empty("/api/skill", [], NO_COMMANDS),
    Empty("/api/reference", [], NO_FILES),
    Empty("/api/fs/list", [], NO_FILES, takes=("path",)),
    Empty("/api/fs/find", [], NO_FILES, takes=("type", "limit"), needs=("query",)),
    Empty("/api/integration", [], NO_ACCOUNTS),
    Empty("/api/permission/request", [], NO_QUESTIONS),
    Empty("/api/question/request", [], NO_QUESTIONS),
    Empty("/api/pty", [], NO_TERMINALS),
)
"""Under `/api`, answers that repeat where the caller is."""

OF_SESSIONS = (
    Empty("/session/{sessionID}/todo", [], NO_TOOLS),
    Empty("/session/{sessionID}/diff", [], NO_TOOLS, takes=("messageID",)),
    Empty("/api/session/{sessionID}/permission", {"data": []}, NO_QUESTIONS),
    Empty("/api/session/{sessionID}/question", {"data": []}, NO_QUESTIONS),
)
"""What a session has none of; one that is not there is still 404."""

ALL = (*PLAIN, *LOCATED, *OF_SESSIONS)

router = APIRouter(route_class=LeanRoute, include_in_schema=False)


def _plain(empty: Empty) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        checked(request, empty.takes, empty.needs)
        return reply(empty.value)

    return answer


def _located(empty: Empty) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        checked(request, empty.takes, empty.needs)
        return reply({"location": location_of(request), "data": empty.value})

    return answer


def _of_session(empty: Empty) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        checked(request, empty.takes, empty.needs)
        call = Call(request)
        session_id = check_session_id(request.path_params["sessionID"])
        await call.means.aside(offer_of(request).session, call, session_id, Location())
        return reply(empty.value)

    return answer


def _add(empties: tuple[Empty, ...], make: Callable[[Empty], Callable[[Request], Awaitable[Response]]]) -> None:
    for empty in empties:
        router.add_api_route(empty.path, make(empty))


_add(PLAIN, _plain)
_add(LOCATED, _located)
_add(OF_SESSIONS, _of_session)
