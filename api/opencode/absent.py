"""What OpenCode's server offers and promptq does not: 501, and never a silent 200. Each with the reason.

Every path of OpenCode's document that is neither served nor served as empty stands here; a test compares.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.routing import Route

from api.opencode.empty import (
    NO_ACCOUNTS,
    NO_BACKGROUND,
    NO_COMMANDS,
    NO_FILES,
    NO_MCP,
    NO_QUESTIONS,
    NO_TERMINALS,
    NO_TOOLS,
    NO_VCS,
    NO_WORKSPACES,
)
from api.opencode.refusals import NotOffered

NO_LOG = "promptq's log holds nothing that callers write"
NO_CONFIGURING = "what this server does is the operator's to set, not a caller's"
NO_DISPOSING = "other callers use what this would end; the operator stops and upgrades the server"
NO_MOVING = "sessions stay where they are kept; a copy is made with `fork`"
NO_TUI = "this server drives nobody's terminal"
NO_SHARING = "sessions are not published; who has the server's address and a key can read them"
NO_REWRITING = "what was said in a session stays said; `fork` with a `messageID` continues from an earlier point"
NO_SUMMARIES = "promptq asks no model for anything but the answers to prompts"
NO_OTHER_PROJECTS = "`/session` lists all: there is one project"
NO_STREAM_OF_ALL = "`/event` and `/global/event` tell the same"


@dataclass(frozen=True)
class Absent:
    """A path that is not offered, with some of its methods."""

    path: str
    methods: tuple[str, ...]
    reason: str


_POST = ("POST",)

ALL = (
    Absent("/auth/{providerID}", ("PUT", "DELETE"), NO_ACCOUNTS),
    Absent("/log", _POST, NO_LOG),
    Absent("/global/config", ("PATCH",), NO_CONFIGURING),
    Absent("/global/dispose", _POST, NO_DISPOSING),
    Absent("/global/upgrade", _POST, NO_DISPOSING),
    Absent("/instance/dispose", _POST, NO_DISPOSING),
    Absent("/config", ("PATCH",), NO_CONFIGURING),
    Absent("/file/content", ("GET",), NO_FILES),
    Absent("/vcs/diff/raw", ("GET",), NO_VCS),
    Absent("/vcs/apply", _POST, NO_VCS),
    Absent("/mcp", _POST, NO_MCP),
    Absent("/mcp/{name}/auth", ("POST", "DELETE"), NO_MCP),
    Absent("/mcp/{name}/auth/callback", _POST, NO_MCP),
    Absent("/mcp/{name}/auth/authenticate", _POST, NO_MCP),
    Absent("/mcp/{name}/connect", _POST, NO_MCP),
    Absent("/mcp/{name}/disconnect", _POST, NO_MCP),
    Absent("/project/git/init", _POST, NO_VCS),
    Absent("/project/{projectID}", ("PATCH",), NO_WORKSPACES),
    Absent("/pty", _POST, NO_TERMINALS),
    Absent("/pty/{ptyID}", ("GET", "PUT", "DELETE"), NO_TERMINALS),
    Absent("/pty/{ptyID}/connect-token", _POST, NO_TERMINALS),
    Absent("/pty/{ptyID}/connect", ("GET",), NO_TERMINALS),
    Absent("/question/{requestID}/reply", _POST, NO_QUESTIONS),
    Absent("/question/{requestID}/reject", _POST, NO_QUESTIONS),
    Absent("/permission/{requestID}/reply", _POST, NO_QUESTIONS),
    Absent("/provider/{providerID}/oauth/authorize", _POST, NO_ACCOUNTS),
    Absent("/provider/{providerID}/oauth/callback", _POST, NO_ACCOUNTS),
    Absent("/session/{sessionID}/message/{messageID}", ("DELETE",), NO_REWRITING),
    Absent("/session/{sessionID}/message/{messageID}/part/{partID}", ("PATCH", "DELETE"), NO_REWRITING),
    Absent("/session/{sessionID}/init", _POST, NO_COMMANDS),
    Absent("/session/{sessionID}/share", ("POST", "DELETE"), NO_SHARING),
    Absent("/session/{sessionID}/summarize", _POST, NO_SUMMARIES),
    Absent("/session/{sessionID}/command", _POST, NO_COMMANDS),
    Absent("/session/{sessionID}/shell", _POST, NO_TOOLS),
    Absent("/session/{sessionID}/revert", _POST, NO_REWRITING),
    Absent("/session/{sessionID}/unrevert", _POST, NO_REWRITING),
    Absent("/session/{sessionID}/permissions/{permissionID}", _POST, NO_QUESTIONS),
    *(Absent(f"/sync/{verb}", _POST, NO_MOVING) for verb in ("start", "replay", "steal", "history")),
    *(
        Absent(f"/tui/{verb}", _POST, NO_TUI)
        for verb in (
            *("append-prompt", "open-help", "open-sessions", "open-themes", "open-models", "submit-prompt"),
            *("clear-prompt", "execute-command", "show-toast", "publish", "select-session", "control/response"),
        )
    ),
    Absent("/tui/control/next", ("GET",), NO_TUI),
    Absent("/experimental/console/switch", _POST, NO_BACKGROUND),
    Absent("/experimental/control-plane/move-session", _POST, NO_MOVING),
    Absent("/experimental/worktree", ("POST", "DELETE"), NO_VCS),
    Absent("/experimental/worktree/reset", _POST, NO_VCS),
    Absent("/experimental/session", ("GET",), NO_OTHER_PROJECTS),
    Absent("/experimental/session/{sessionID}/background", _POST, NO_BACKGROUND),
    Absent("/experimental/project/{projectID}/copy", ("POST", "DELETE"), NO_WORKSPACES),
    Absent("/experimental/project/{projectID}/copy/refresh", _POST, NO_WORKSPACES),
    Absent("/experimental/project/{projectID}/copy/generate-name", _POST, NO_WORKSPACES),
    Absent("/experimental/workspace", _POST, NO_WORKSPACES),
    Absent("/experimental/workspace/sync-list", _POST, NO_WORKSPACES),
    Absent("/experimental/workspace/warp", _POST, NO_WORKSPACES),
    Absent("/experimental/workspace/{id}", ("DELETE",), NO_WORKSPACES),
    Absent("/api/session/{sessionID}/compact", _POST, NO_SUMMARIES),
    Absent("/api/session/{sessionID}/revert/stage", _POST, NO_REWRITING),
    Absent("/api/session/{sessionID}/revert/clear", _POST, NO_REWRITING),
    Absent("/api/session/{sessionID}/revert/commit", _POST, NO_REWRITING),
    Absent("/api/session/{sessionID}/permission", _POST, NO_QUESTIONS),
    Absent("/api/session/{sessionID}/permission/{requestID}", ("GET",), NO_QUESTIONS),
    Absent("/api/session/{sessionID}/permission/{requestID}/reply", _POST, NO_QUESTIONS),
    Absent("/api/session/{sessionID}/question/{requestID}/reply", _POST, NO_QUESTIONS),
    Absent("/api/session/{sessionID}/question/{requestID}/reject", _POST, NO_QUESTIONS),
    Absent("/api/permission/saved/{id}", ("DELETE",), NO_QUESTIONS),
    Absent("/api/integration/{integrationID}", ("GET",), NO_ACCOUNTS),
    Absent("/api/integration/{integrationID}/connect/key", _POST, NO_ACCOUNTS),
    Absent("/api/integration/{integrationID}/connect/oauth", _POST, NO_ACCOUNTS),
    Absent("/api/integration/attempt/{attemptID}", ("GET", "DELETE"), NO_ACCOUNTS),
    Absent("/api/integration/attempt/{attemptID}/complete", _POST, NO_ACCOUNTS),
    Absent("/api/credential/{credentialID}", ("PATCH", "DELETE"), NO_ACCOUNTS),
    Absent("/api/fs/read/*", ("GET",), NO_FILES),
    Absent("/api/event", ("GET",), NO_STREAM_OF_ALL),
    Absent("/api/pty", _POST, NO_TERMINALS),
    Absent("/api/pty/{ptyID}", ("GET", "PUT", "DELETE"), NO_TERMINALS),
    Absent("/api/pty/{ptyID}/connect-token", _POST, NO_TERMINALS),
    Absent("/api/pty/{ptyID}/connect", ("GET",), NO_TERMINALS),
)


def routes() -> list[Route]:
    """Make the routes that say so. They look at nothing but the path, and read no body."""
    return [Route(_pattern(absent.path), _refuse(absent), methods=list(absent.methods)) for absent in ALL]


def _pattern(path: str) -> str:
    return path.removesuffix("*") + "{rest:path}" if path.endswith("*") else path


def _refuse(absent: Absent) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        raise NotOffered(f"promptq does not offer {request.method} {absent.path}: {absent.reason}")

    return answer
