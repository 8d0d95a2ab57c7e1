"""What callers send to `/api/session…`, and what it means in promptq."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from domain.errors import InvalidRequest
from domain.requests.fields import Body, Count, Directory, Given, MessageId, Name, SessionId, WorkspaceId
from domain.requests.parsing import check
from domain.requests.prompts import PromptRequest
from domain.requests.sessions import CreateSession, SessionModel

_PLAIN = "text/plain"


class Place(Body):
    """Where a session is said to be."""

    directory: Directory
    workspaceID: Given[WorkspaceId] = None  # noqa: N815 - as OpenCode writes names


class NewerCreate(Body):
    """Create the session `id`, or return it. Without an `id`, one is made."""

    id: Given[SessionId] = None
    agent: Given[Name] = None
    model: Given[SessionModel] = None
    location: Given[Place] = None

    def older(self) -> CreateSession:
        """Say the same as `POST /session` would be told: what is given here and there can be compared."""
        given = self.model_dump(exclude_unset=True)
        given.pop("location", None)
        return CreateSession.model_validate(given)


class SwitchAgent(Body):
    """Which agent later prompts have that name none."""

    agent: Name


class SwitchModel(Body):
    """Which model later prompts have that name none."""

    model: SessionModel


class Source(Body):
    """Where in the text something is mentioned."""

    start: Count
    end: Count
    text: str


class File(Body):
    """A file, whole, inside its URI."""

    uri: str
    name: Given[str] = None
    source: Given[Source] = None


class Agent(Body):
    """A mention of an agent."""

    name: str
    source: Given[Source] = None


class Input(Body):
    """What a prompt says."""

    text: str
    files: Given[list[File]] = None
    agents: Given[list[Agent]] = None


class NewerPrompt(Body):
    """A user message that asks for an answer. It waits for its turn: `steer` is refused."""

    prompt: Input
    id: Given[MessageId] = None
    delivery: Literal["queue", "steer"] = "queue"
    resume: Annotated[bool, Field()] = True

    def older(self) -> PromptRequest:
        """Say the same as `POST /session/{id}/prompt_async` would be told.

        Raises:
            InvalidRequest: it asks for what promptq does not do.
        """
        if self.delivery == "steer":
            raise InvalidRequest(
                "delivery: 'steer' is not offered; a prompt waits for those before it ('queue')", field="delivery"
            )
        if not self.resume:
            raise InvalidRequest("resume: a prompt that is kept is answered; false is not offered", field="resume")
        parts: list[dict[str, Any]] = [_file_part(file) for file in self.prompt.files or []]
        parts += [_agent_part(agent) for agent in self.prompt.agents or []]
        parts.append({"type": "text", "text": self.prompt.text})
        named = {} if self.id is None else {"messageID": self.id}
        return check(PromptRequest, {"parts": parts, **named}, place="prompt")


def mime_of(uri: str) -> str:
    """Return the type that a `data:` URI says that it has."""
    declared = uri[5:].partition(",")[0].partition(";")[0] if uri[:5].lower() == "data:" else ""
    return declared[:256] or _PLAIN


def _file_part(file: File) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "file", "mime": mime_of(file.uri), "url": file.uri}
    if file.name is not None:
        part["filename"] = file.name
    if file.source is not None:
        text = {"value": file.source.text, "start": float(file.source.start), "end": float(file.source.end)}
        part["source"] = {"type": "file", "path": file.name or "", "text": text}
    return part


def _agent_part(agent: Agent) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "agent", "name": agent.name}
    if agent.source is not None:
        part["source"] = {"value": agent.source.text, "start": agent.source.start, "end": agent.source.end}
    return part
