"""The OpenAPI document: what FastAPI finds out by itself, and what it cannot know here.

Bodies are read by pydantic straight from their bytes, and errors are rendered by `api.errors`; so both are described
here. `docs/openapi.json` is a copy of the result; a test fails when they differ.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from domain.requests.prompts import PromptRequest
from domain.requests.sessions import CreateSession, ForkSession, UpdateSession

Json = dict[str, Any]

REF = "#/components/schemas/{model}"
BODIES: tuple[type[BaseModel], ...] = (CreateSession, UpdateSession, ForkSession, PromptRequest)

WORKSPACE_IN_QUERY = "^(wrk[A-Za-z0-9_-]{0,128})?$"
"""OpenCode's clients send it empty where they have none."""

ADMITTED: Json = {
    "description": "Kept",
    "headers": {
        "Location": {"description": "`/job/{id}` of the job", "schema": {"type": "string"}},
        "Promptq-Session": {
            "description": "Whether this call made the session",
            "schema": {"type": "string", "enum": ["created", "resumed"]},
        },
    },
}

_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Names the prompt where no messageID does: the same again is the same job.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_SESSION: Json = {
    "name": "sessionID",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^ses_[A-Za-z0-9_-]{1,128}$"},
}
_LOCATION: tuple[Json, ...] = (
    {"name": "directory", "in": "query", "required": False, "schema": {"type": "string", "maxLength": 4096}},
    {
        "name": "workspace",
        "in": "query",
        "required": False,
        "schema": {"type": "string", "pattern": WORKSPACE_IN_QUERY},
    },
)
_LAST_EVENT: Json = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "The `id` of the last event that was seen: what came after it comes first.",
    "schema": {"type": "string", "maxLength": 255},
}
_TEXT: Json = {"type": "string"}
_NAMED: Json = {
    "type": "object",
    "required": ["name", "data"],
    "properties": {
        "name": _TEXT,
        "data": {
            "type": "object",
            "required": ["message"],
            "properties": {"message": _TEXT, "fields": {"type": "array", "items": _TEXT}},
        },
    },
}
_ERRORS: Json = {
    "InvalidRequestError": {
        "type": "object",
        "required": ["_tag", "message"],
        "properties": {
            "_tag": {"const": "InvalidRequestError"},
            "message": _TEXT,
            "kind": {"enum": ["Params", "Headers", "Query", "Body"]},
            "field": _TEXT,
        },
    },
    "BadRequestError": {
        "type": "object",
        "required": ["name", "data"],
        "properties": {
            "name": {"const": "BadRequest"},
            "data": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "message": _TEXT,
                    "kind": {"enum": ["Params", "Headers", "Query", "Body"]},
                    "field": _TEXT,
                },
            },
        },
    },
    "NamedError": _NAMED,
}
_ADMITTING = ("/prompt_async", "/message", "/retry")
_CONFLICTING = (*_ADMITTING, "/fork")
_RETRY: Json = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}


def body(model: type[BaseModel], *, required: bool = True) -> Json:
    """Describe a JSON body."""
    schema = {"$ref": REF.format(model=model.__name__)}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def key_parameter() -> Json:
    """Describe the header `Idempotency-Key`."""
    return {"parameters": [_KEY]}


def prompt_parameters() -> Json:
    """Describe what the routes of prompts take besides a body; they read it themselves."""
    return {"parameters": [_SESSION, *_LOCATION, _KEY]}


def stream_parameters(*, session: bool = False) -> Json:
    """Describe what the routes of events take; they read it themselves."""
    return {"parameters": [_SESSION, *_LOCATION, _LAST_EVENT] if session else [*_LOCATION]}


def install(app: FastAPI) -> None:
    """Let an application describe itself so."""

    def described() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = describe(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way to change the document


def describe(app: FastAPI) -> Json:
    """Write the document."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, models = models_json_schema([(model, "validation") for model in BODIES], ref_template=REF)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(_without_nulls(models["$defs"]))
    schemas.update(_ERRORS)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    document["components"]["securitySchemes"] = {
        "basic": {"type": "http", "scheme": "basic"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    document["security"] = [{}, {"basic": []}, {"bearer": []}]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["responses"].pop("422", None)
            operation["responses"].update(_errors(path, method))
    return document


def _without_nulls(value: Any) -> Any:
    """Drop `default: null`: such a field may be left out, and may not be null."""
    if isinstance(value, dict):
        return {
            name: _without_nulls(inner) for name, inner in value.items() if not (name == "default" and inner is None)
        }
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _errors(path: str, method: str) -> Json:
    if path in ("/healthz", "/doc"):
        return {}
    tagged = path.startswith("/session") and (path, method) != ("/session", "get")
    listed = {
        "400": _response("The request is wrong", "InvalidRequestError" if tagged else "BadRequestError"),
        "401": _response("The key or password is missing or wrong", "NamedError"),
        "403": _response("A host or origin that this server does not answer to", "NamedError"),
        "503": {**_response("The database is away; nothing was changed", "NamedError"), "headers": _RETRY},
    }
    if "{" in path:
        listed["404"] = _response("It does not exist", "NamedError")
    if method in ("post", "patch"):
        listed["413"] = _response("The body is too large", "NamedError")
    if method == "post" and (path == "/session" or path.endswith(_CONFLICTING)):
        listed["409"] = _response("It contradicts what is kept", "NamedError")
    if method == "post" and path.endswith(_ADMITTING):
        listed["429"] = {**_response("Too many open jobs", "NamedError"), "headers": _RETRY}
    return dict(sorted(listed.items()))


def _response(description: str, schema: str) -> Json:
    return {"description": description, "content": {"application/json": {"schema": {"$ref": REF.format(model=schema)}}}}
