"""What routes take from a request: whose it is, its path and query, its JSON."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

from fastapi import Depends, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from starlette.routing import request_response

from api.document import WORKSPACE_IN_QUERY
from api.errors import OperatorWanted
from api.means import Means
from domain.errors import InvalidRequest
from domain.keys import Visitor
from domain.requests.fields import Body, Directory, MessageId, SessionId, check_workspace_id
from domain.requests.parsing import parse

B = TypeVar("B", bound=Body)

LARGE = 64 * 1024
"""Bytes. Larger bodies are read in a thread, so that nobody else waits for that."""

LONGEST_KEY = 255
LONGEST_DIRECTORY = 4096
IDEMPOTENCY_KEY = "Idempotency-Key"
DIRECTORY = "X-OpenCode-Directory"
"""How OpenCode's clients say where they are if not in the query: percent-encoded."""


class Call:
    """One request: what it works with, and whose it is."""

    __slots__ = ("means", "request", "tenant", "visitor")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.means: Means = request.app.state.means
        self.visitor: Visitor = request.scope["state"]["visitor"]
        self.tenant = self.visitor.tenant

    @property
    def is_ephemeral_only(self) -> bool:
        """Whether it came to the view of the server in which all sessions are ephemeral."""
        return bool(self.request.scope["state"].get("ephemeral"))

    def directory(self, where: Location) -> str:
        """Return where a session that this request makes is said to be.

        Raises:
            InvalidRequest: the header that says it cannot be kept.
        """
        if where.directory:
            return where.directory
        given = unquote(self.request.headers.get(DIRECTORY, ""))
        if len(given) > LONGEST_DIRECTORY or "\0" in given:
            raise InvalidRequest(f"{DIRECTORY}: must be at most {LONGEST_DIRECTORY} characters", field=DIRECTORY)
        return given or "/"


class LeanRoute(APIRoute):
    """A route whose function takes the request, and nothing that FastAPI would have to read for it.

    It is described like any other, and answers as a route of Starlette's own: in half the time.
    """

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        self.app = request_response(endpoint)


async def _call(request: Request) -> Call:
    return Call(request)


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


_WorkspaceInQuery = Annotated[
    str, AfterValidator(check_workspace_id), Field(json_schema_extra={"pattern": WORKSPACE_IN_QUERY})
]


class Location(BaseModel):
    """The query parameters that every route takes, because OpenCode's clients send them everywhere."""

    model_config = ConfigDict(extra="forbid")

    directory: Annotated[Directory | None, BeforeValidator(_none_if_empty)] = None
    workspace: Annotated[_WorkspaceInQuery | None, BeforeValidator(_none_if_empty)] = None


class Page(Location):
    """The query of a list that comes in pages."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: str | None = None


_JOB = re.compile(r"job_[A-Za-z0-9_]{1,80}", re.ASCII)


def _job_id(text: str) -> str:
    if not _JOB.fullmatch(text):
        raise PydanticCustomError("id", "must be 'job_' followed by 1 to 80 of A-Z a-z 0-9 _")
    return text


JobId = Annotated[str, AfterValidator(_job_id), Field(json_schema_extra={"pattern": "^job_[A-Za-z0-9_]{1,80}$"})]

Caller = Annotated[Call, Depends(_call)]
Where = Annotated[Location, Query()]
SessionPath = Annotated[SessionId, Path(alias="sessionID")]
MessagePath = Annotated[MessageId, Path(alias="messageID")]
JobPath = Annotated[JobId, Path(alias="jobID")]


def operator_only(call: Caller) -> None:
    """Let nobody see what is of all tenants together but whoever runs the server: a dependency of such routes.

    Raises:
        OperatorWanted: the caller came with a tenant's key.
    """
    if not call.visitor.is_operator:
        raise OperatorWanted("this shows all tenants' work, so it takes the server's password, and no key")


def location_of(request: Request) -> Location:
    """Read the query of a route that FastAPI does not read it for.

    Raises:
        RequestValidationError: it has an unknown parameter, or a wrong one.
    """
    if not request.scope["query_string"]:
        return _NOWHERE
    try:
        return Location.model_validate(dict(request.query_params))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError([{**fault, "loc": ("query", *fault["loc"])} for fault in faults]) from None


_NOWHERE = Location()


def idempotency_key(request: Request) -> str | None:
    """Read the header `Idempotency-Key`.

    Raises:
        InvalidRequest: it is empty, longer than 255 characters, or not printable ASCII.
    """
    key: str | None = request.headers.get(IDEMPOTENCY_KEY)
    if key is None or (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        return key
    raise InvalidRequest(f"{IDEMPOTENCY_KEY}: must be 1 to {LONGEST_KEY} printable characters", field=IDEMPOTENCY_KEY)


async def raw_body(request: Request) -> bytes:
    """Read a body that is to be JSON.

    Raises:
        InvalidRequest: its content type says otherwise. (A web page can send forms and plain text anywhere.)
        BodyTooLarge: it is longer than this server takes.
    """
    raw = await request.body()
    if raw:
        _check_type(request.headers.get("content-type"))
    return raw


def json_body(model: type[B], *, optional: bool = False) -> Callable[[Request], Awaitable[B]]:
    """Make the dependency that reads a request; if it is optional, no body means no fields."""

    async def read(request: Request) -> B:
        raw = await raw_body(request)
        if optional and not raw:
            raw = b"{}"
        if len(raw) > LARGE:
            return await run_in_threadpool(parse, model, raw)
        return parse(model, raw)

    return read


async def no_body(request: Request) -> None:
    """Refuse fields where there are none."""
    await json_body(Body, optional=True)(request)


def _check_type(given: str | None) -> None:
    kind, _, parameters = (given or "").lower().partition(";")
    kind = kind.strip()
    charset = parameters.partition("charset=")[2].strip(' "')
    if (kind != "application/json" and not kind.endswith("+json")) or charset not in ("", "utf-8"):
        raise InvalidRequest("Content-Type: must be application/json, in UTF-8", field="Content-Type")
