"""Sessions and messages as `/api/session…` has them."""

from __future__ import annotations

from typing import Any

from domain.messages import Message, Part, Role, Usage
from domain.sessions import Session
from domain.shapes import PROJECT, tokens_shape

Json = dict[str, Any]


def session_shape(session: Session) -> Json:
    """Write a session."""
    time = {"created": session.created, "updated": session.updated}
    location = {"directory": session.directory}
    shape: Json = {
        "id": session.id,
        "projectID": PROJECT,
        "cost": session.cost,
        "tokens": tokens_shape(session.usage),
        "time": time if session.archived is None else {**time, "archived": session.archived},
        "title": session.title,
        "location": location if session.workspace_id is None else {**location, "workspaceID": session.workspace_id},
    }
    if session.parent_id is not None:
        shape["parentID"] = session.parent_id
    if session.agent is not None:
        shape["agent"] = session.agent
    if session.model is not None:
        shape["model"] = model_shape(session.model, session.variant)
    return shape


def model_shape(full: str, variant: str | None = None) -> Json:
    """Write a model, given as `provider/model`."""
    provider, _, model = full.partition("/")
    return {"id": model, "providerID": provider, **({} if variant is None else {"variant": variant})}


def message_shape(message: Message) -> Json:
    """Write a message."""
    return _user(message) if message.role is Role.USER else _assistant(message)


def prompt_shape(message: Message) -> Json:
    """Write what a user's message says."""
    texts = [str(part.get("text", part.get("prompt", ""))) for part in message.parts if _is_said(part)]
    said: Json = {"text": "\n".join(texts)}
    files = [_file(part) for part in message.parts if part["type"] == "file"]
    agents = [_agent(part) for part in message.parts if part["type"] == "agent"]
    return said | ({"files": files} if files else {}) | ({"agents": agents} if agents else {})


def error_shape(detail: Json) -> Json:
    """Write why a turn has no answer."""
    return {"type": "unknown", "message": detail["data"]["message"]}


def _user(message: Message) -> Json:
    return {"id": message.id, "time": {"created": message.created}, **prompt_shape(message), "type": "user"}


def _is_said(part: Part) -> bool:
    return part["type"] in {"text", "subtask"} and not part.get("ignored")


def _file(part: Part) -> Json:
    file: Json = {"uri": part["url"], "mime": part["mime"]}
    if "filename" in part:
        file["name"] = part["filename"]
    if "source" in part:
        text = part["source"]["text"]
        file["source"] = {"start": text["start"], "end": text["end"], "text": text["value"]}
    return file


def _agent(part: Part) -> Json:
    agent: Json = {"name": part["name"]}
    if "source" in part:
        source = part["source"]
        agent["source"] = {"start": source["start"], "end": source["end"], "text": source["value"]}
    return agent


def _assistant(message: Message) -> Json:
    detail = message.detail
    time = {"created": message.created}
    if "completed" in detail:
        time["completed"] = detail["completed"]
    shape: Json = {
        "id": message.id,
        "time": time,
        "type": "assistant",
        "agent": detail["agent"],
        "model": model_shape(detail["model"], detail.get("variant")),
        "content": [_content(part) for part in message.parts if part["type"] in _CONTENT],
        "cost": detail.get("cost", 0),
        "tokens": detail.get("tokens") or tokens_shape(Usage()),
    }
    if "error" in detail:
        shape["finish"] = "error"
        shape["error"] = error_shape(detail["error"])
    elif "finish" in detail:
        shape["finish"] = detail["finish"]
    return shape


_CONTENT = frozenset({"text", "reasoning", "tool"})


def _content(part: Part) -> Json:
    match part["type"]:
        case "text":
            return {"type": "text", "id": part["id"], "text": part["text"]}
        case "reasoning":
            return {"type": "reasoning", "id": part["id"], "text": part["text"]}
    state = part["state"]
    time = {"created": state["time"]["start"]}
    if "end" in state["time"]:
        time["completed"] = state["time"]["end"]
    return {"type": "tool", "id": part["callID"], "name": part["tool"], "state": _tool(state), "time": time}


def _tool(state: Json) -> Json:
    shape: Json = {"status": state["status"], "input": state["input"], "structured": {}, "content": []}
    if state["status"] == "completed":
        shape["content"] = [{"type": "text", "text": state["output"]}]
    elif state["status"] == "error":
        shape["error"] = {"type": "unknown", "message": state["error"]}
    return shape
