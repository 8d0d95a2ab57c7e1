"""Requests about sessions: create or get, change, fork."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from domain.clock import millis
from domain.errors import InvalidRequest
from domain.ids import is_ephemeral, new_session_id
from domain.models import Catalog
from domain.requests.fields import (
    LATEST,
    Body,
    Given,
    JsonObject,
    MessageId,
    Name,
    SessionId,
    Title,
    WorkspaceId,
)
from domain.sessions import Creation


class PermissionRule(Body):
    permission: str
    pattern: str
    action: Literal["allow", "deny", "ask"]


class SessionModel(Body):
    id: Name
    providerID: Name  # noqa: N815 - OpenCode's name
    variant: Given[Name] = None


class CreateSession(Body):
    """Create the session `id`, or return it. Without an `id`, one is made."""

    id: Given[SessionId] = None
    ephemeral: Given[bool] = None
    ttl: Given[Annotated[int, Field(ge=1, le=604_800)]] = None
    onFailure: Given[Literal["continue", "stop"]] = None  # noqa: N815 - as OpenCode writes names
    ifExists: Literal["return", "error"] = "return"  # noqa: N815
    parentID: Given[SessionId] = None  # noqa: N815
    title: Given[Title] = None
    agent: Given[Name] = None
    model: Given[SessionModel] = None
    metadata: Given[JsonObject] = None
    permission: Given[list[PermissionRule]] = None
    workspaceID: Given[WorkspaceId] = None  # noqa: N815

    def creation(self, *, catalog: Catalog, directory: str, workspace: str | None) -> Creation:
        """Make what the store is asked.

        Args:
            catalog: the models that a session may name.
            directory: where the session is, if it is new.
            workspace: its workspace, if the body names none.

        Raises:
            InvalidRequest: the fields do not fit each other, or ask for what this server does not have.
        """
        session_id = self._checked_id()
        if self.ttl is not None and not is_ephemeral(session_id):
            raise InvalidRequest("ttl: only ephemeral sessions have one, and this one is durable", field="ttl")
        model = None
        if self.model is not None:
            model = catalog.check(self.model.providerID, self.model.id)
        given = self.model_dump(exclude_unset=True)
        for name in ("id", "ephemeral", "ifExists", "workspaceID"):
            given.pop(name, None)
        return Creation(
            session_id=session_id,
            given=given,
            title=self.title,
            directory=directory,
            parent_id=self.parentID,
            workspace_id=self.workspaceID or workspace,
            agent=self.agent,
            model=model,
            variant=self.model.variant if self.model is not None else None,
            metadata=self.metadata,
            permission=given.get("permission"),
            on_failure=self.onFailure or "continue",
            ttl_ms=millis(self.ttl) if self.ttl is not None else None,
            if_exists=self.ifExists,
        )

    def ephemeral_only(self) -> CreateSession:
        """Ask for an ephemeral session where nothing else is made.

        Raises:
            InvalidRequest: it asks for a durable one.
        """
        if self.ephemeral is False:
            raise InvalidRequest("ephemeral: only ephemeral sessions are made here", field="ephemeral")
        return self.model_copy(update={"ephemeral": True})

    def _checked_id(self) -> str:
        if self.id is None:
            return new_session_id(ephemeral=bool(self.ephemeral))
        if self.ephemeral is False and is_ephemeral(self.id):
            raise InvalidRequest("id: 'ses_tmp_' names an ephemeral session, and ephemeral is false", field="id")
        if self.ephemeral and not is_ephemeral(self.id):
            raise InvalidRequest("id: an ephemeral session's ID starts 'ses_tmp_'", field="id")
        return self.id


class SessionTimes(Body):
    archived: Given[Annotated[float, Field(ge=0, le=LATEST)]] = None


class UpdateSession(Body):
    """Change a session; what is left out stays."""

    title: Given[Title] = None
    metadata: Given[JsonObject] = None
    permission: Given[list[PermissionRule]] = None
    time: Given[SessionTimes] = None

    def changes(self) -> Mapping[str, Any]:
        """The changes by the names of the session's fields; empty if nothing was given."""
        changes = self.model_dump(exclude_unset=True)
        times = changes.pop("time", {})
        if "archived" in times:
            changes["archived"] = int(times["archived"])
        return changes


class ForkSession(Body):
    """Make the session `id` from another's committed turns, up to a message (exclusive)."""

    id: Given[SessionId] = None
    messageID: Given[MessageId] = None  # noqa: N815

    def ephemeral_only(self) -> ForkSession:
        """Ask for an ephemeral session where nothing else is made.

        Raises:
            InvalidRequest: it asks for a durable one.
        """
        if self.id is not None and not is_ephemeral(self.id):
            raise InvalidRequest("id: an ephemeral session's ID starts 'ses_tmp_'", field="id")
        return self

    def creation(self, source_id: str) -> Creation:
        """Make what the store is asked: the same source and message again are the same fork.

        Without an ID the fork is of its source's kind; an ephemeral session is kept by forking it to a durable ID.
        """
        session_id = self.id if self.id is not None else new_session_id(ephemeral=is_ephemeral(source_id))
        return Creation(session_id=session_id, given={"fork": {"source": source_id, "messageID": self.messageID}})
