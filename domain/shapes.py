"""Sessions and messages as callers see them, over HTTP and in events: in OpenCode's shapes, to the letter."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from domain.answers import tokens
from domain.clock import Millis
from domain.jobs import Job, State
from domain.messages import Message, Role, Usage
from domain.sessions import Session

PROJECT = "global"
"""The project of every session, as OpenCode calls the one of directories that have none."""

VERSION = version("promptq")

_USER_FIELDS = ("format", "system", "tools")
_ASSISTANT_FIELDS = ("error", "finish", "structured", "variant")


class Tokens(TypedDict):
    input: int
    output: int
    reasoning: int
    cache: dict[str, int]


class PromptModelShape(TypedDict):
    providerID: str
    modelID: str
    variant: NotRequired[str]


class SessionModelShape(TypedDict):
    providerID: str
    id: str
    variant: NotRequired[str]


class SessionShape(TypedDict):
    """A session, as OpenCode's document has it."""

    id: str
    slug: str
    projectID: str
    workspaceID: NotRequired[str]
    directory: str
    path: str
    parentID: NotRequired[str]
    cost: float
    tokens: Tokens
    title: str
    agent: NotRequired[str]
    model: NotRequired[SessionModelShape]
    version: str
    metadata: NotRequired[Mapping[str, Any]]
    time: dict[str, Millis]
    permission: NotRequired[list[Any]]


class MessageShape(TypedDict):
    """A message and its parts, as OpenCode's document has them (`UserMessage`, `AssistantMessage`, `Part`)."""

    info: dict[str, Any]
    parts: list[dict[str, Any]]


class StatusShape(TypedDict):
    """What a session is doing."""

    type: Literal["idle", "busy", "retry"]
    attempt: NotRequired[int]
    message: NotRequired[str]
    next: NotRequired[Millis]


def session_shape(session: Session) -> SessionShape:
    """Write a session."""
    time = {"created": session.created, "updated": session.updated}
    if session.archived is not None:
        time["archived"] = session.archived
    shape: SessionShape = {
        "id": session.id,
        "slug": session.id,
        "projectID": PROJECT,
        "directory": session.directory,
        "path": "",
        "cost": session.cost,
        "tokens": tokens_shape(session.usage),
        "title": session.title,
        "version": VERSION,
        "time": time,
    }
    if session.workspace_id is not None:
        shape["workspaceID"] = session.workspace_id
    if session.parent_id is not None:
        shape["parentID"] = session.parent_id
    if session.agent is not None:
        shape["agent"] = session.agent
    if session.model is not None:
        provider, _, model = session.model.partition("/")
        shape["model"] = {"providerID": provider, "id": model}
        if session.variant is not None:
            shape["model"]["variant"] = session.variant
    if session.metadata is not None:
        shape["metadata"] = session.metadata
    if session.permission is not None:
        shape["permission"] = session.permission
    return shape


def message_shape(message: Message) -> MessageShape:
    """Write a message with its parts."""
    info = _user(message) if message.role is Role.USER else _assistant(message)
    names = {"sessionID": message.session_id, "messageID": message.id}
    return {"info": info, "parts": [{**part, **names} for part in message.parts]}


def status_shape(head: Job) -> StatusShape:
    """Write what a session is doing, by its head."""
    if head.state is State.QUEUED and head.past_attempts:
        last = head.past_attempts[-1]
        return {
            "type": "retry",
            "attempt": last.number,
            "message": f"attempt {last.number} ended: {last.outcome}",
            "next": head.ready_at or 0,
        }
    return {"type": "busy"}


def _user(message: Message) -> dict[str, Any]:
    detail = message.detail
    model = _prompt_model(detail["model"])
    if "variant" in detail:
        model["variant"] = detail["variant"]
    info = {
        "id": message.id,
        "sessionID": message.session_id,
        "role": "user",
        "time": {"created": message.created},
        "agent": detail["agent"],
        "model": model,
    }
    info.update({name: detail[name] for name in _USER_FIELDS if name in detail})
    return info


def _assistant(message: Message) -> dict[str, Any]:
    detail = message.detail
    model = _prompt_model(detail["model"])
    time = {"created": message.created}
    if "completed" in detail:
        time["completed"] = detail["completed"]
    info = {
        "id": message.id,
        "sessionID": message.session_id,
        "role": "assistant",
        "time": time,
        "parentID": detail["parentID"],
        "modelID": model["modelID"],
        "providerID": model["providerID"],
        "mode": detail["agent"],
        "agent": detail["agent"],
        "path": {"cwd": detail["path"], "root": detail["path"]},
        "cost": detail.get("cost", 0),
        "tokens": detail.get("tokens") or tokens(Usage()),
    }
    info.update({name: detail[name] for name in _ASSISTANT_FIELDS if name in detail})
    return info


def _prompt_model(full: str) -> PromptModelShape:
    provider, _, model = full.partition("/")
    return {"providerID": provider, "modelID": model}


def tokens_shape(usage: Usage) -> Tokens:
    return {
        "input": usage.input,
        "output": usage.output,
        "reasoning": usage.reasoning,
        "cache": {"read": usage.cache_read, "write": usage.cache_write},
    }
