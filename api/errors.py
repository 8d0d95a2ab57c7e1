"""What goes wrong, as HTTP says it: the one module that knows statuses.

Each status comes in the shape that OpenCode's document declares for the path: 400 is `{"_tag": "InvalidRequestError"}`
on most of its paths, `{"name": "BadRequest"}` on some; 404 is `{"name": "NotFoundError"}`. What the document does not
declare is `{"name", "data": {"message"}}`. Under `/api` everything goes by `_tag` (`api.opencode.refusals`).
"""

from __future__ import annotations

import asyncio
import logging
import traceback

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.openai.errors import PromptFailed
from api.openai.refusals import is_openai
from api.openai.refusals import refusal as openai_refusal
from api.opencode.refusals import NotOffered, invalid, is_newer, tagged
from api.paths import route_path
from api.replies import reply
from domain.errors import (
    BacklogFull,
    Conflict,
    InvalidRequest,
    NotFound,
    PromptqError,
    StoreIncompatible,
    StoreUnavailable,
)
from domain.requests.parsing import refusal

log = logging.getLogger(__name__)

_KINDS = {"path": "Params", "query": "Query", "header": "Headers"}
_KINDS_OF_FIELDS = {
    "sessionID": "Params",
    "Content-Type": "Headers",
    "Idempotency-Key": "Headers",
    "Last-Event-ID": "Headers",
}


class BodyTooLarge(PromptqError):
    """The body has more bytes than the server takes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes")


class StrangeHost(PromptqError):
    """The request was sent to a name that this server does not go by."""


class ForeignOrigin(PromptqError):
    """The request comes from a web page of somewhere else."""


class CredentialsWanted(PromptqError):
    """The request has neither key nor password, or a wrong one."""


class OperatorWanted(PromptqError):
    """What was asked for is not for one tenant to see."""


class NoSuchRoute(PromptqError):
    """Nothing is at this path."""


_PLAIN: tuple[tuple[tuple[type[PromptqError], ...], str, int, dict[str, str]], ...] = (
    ((NotFound, NoSuchRoute), "NotFoundError", 404, {}),
    ((NotOffered,), "NotOfferedError", 501, {}),
    ((BodyTooLarge,), "BodyTooLargeError", 413, {"Connection": "close"}),
    ((CredentialsWanted,), "UnauthorizedError", 401, {"WWW-Authenticate": 'Basic realm="promptq", charset="UTF-8"'}),
    ((StrangeHost, ForeignOrigin, OperatorWanted), "ForbiddenError", 403, {}),
)
"""Errors that say nothing but their sentence."""


def install(app: FastAPI) -> None:
    """Let an application answer errors with `render`."""
    app.add_exception_handler(PromptqError, _promptq_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def render(error: PromptqError, scope: Scope, *, kind: str | None = None) -> Response:
    """Answer a request with an error.

    Args:
        error: what went wrong.
        scope: the request's.
        kind: of an invalid request: where the fault is (`Body`, `Query`, `Params`, `Headers`), if it is known.
    """
    match error:
        case PromptFailed():
            return reply(error.shape(), error.status)
        case InvalidRequest():
            said = (
                openai_refusal(error, 400)
                if is_openai(scope)
                else invalid(error, scope, kind or _kind_of(error, scope))
            )
            return reply(said, 400)
        case Conflict():
            return _named(scope, "ConflictError", error, 409, fields=list(error.fields))
        case BacklogFull():
            return _named(scope, "BacklogFullError", error, 429, headers={"Retry-After": str(error.retry_after_s)})
        case StoreUnavailable():
            _warn("store_unavailable", scope)
            return _named(scope, "UnavailableError", error, 503, headers={"Retry-After": str(error.retry_after_s)})
        case StoreIncompatible():
            _warn("store_incompatible", scope)
            return _named(scope, "UnavailableError", error, 503, headers={"Retry-After": "60"})
    for kinds, name, status, headers in _PLAIN:
        if isinstance(error, kinds):
            return _named(scope, name, error, status, headers=headers)
    return failed(error, scope)


def failed(error: Exception, scope: Scope) -> Response:
    """Answer 500, and log where it happened: not what the error says, which may repeat content."""
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-5:]]
    log.error("request_failed", extra={**_about(scope), "error": type(error).__name__, "at": " < ".join(places[::-1])})
    return _named(scope, "UnknownError", "the server failed; its log says where", 500)


class LastResort:
    """The outermost layer: what nobody expected is answered with 500 and logged without content."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except asyncio.CancelledError:
            # This process ends, and would have answered 500. What was kept is kept; who waited asks the next one.
            if started:
                raise
            await render(StoreUnavailable("the server is being replaced; ask again"), scope)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the last resort
            answer = failed(error, scope)
            if not started:
                await answer(scope, receive, send)


def _kind_of(error: InvalidRequest, scope: Scope) -> str:
    """Say where the fault of an invalid request is."""
    return _KINDS_OF_FIELDS.get(error.field or "") or ("Query" if scope["method"] == "GET" else "Body")


def _named(
    scope: Scope,
    name: str,
    error: Exception | str,
    status: int,
    *,
    headers: dict[str, str] | None = None,
    fields: list[str] | None = None,
) -> Response:
    if is_openai(scope):
        said = error if isinstance(error, PromptqError) else str(error)
        return reply(openai_refusal(said, status), status, headers)
    if is_newer(scope):
        return reply(tagged(name, str(error), scope, None if isinstance(error, str) else error), status, headers)
    more = {"fields": fields} if fields else {}
    return reply({"name": name, "data": {"message": str(error), **more}}, status, headers)


async def _promptq_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PromptqError)  # noqa: S101 - what it is registered for
    return render(error, request.scope)


async def _validation_error(request: Request, error: Exception) -> Response:
    """Answer what FastAPI found wrong in a path, a query or a header."""
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = error.errors()
    kind = _KINDS.get(str(faults[0]["loc"][0]), "Body")
    return render(
        refusal([(fault["type"], fault["msg"], fault["loc"][1:]) for fault in faults]), request.scope, kind=kind
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    method, path = request.method, request.url.path
    match error.status_code:
        case 404 if b"%2f" in request.scope.get("raw_path", b"").lower():
            return render(InvalidRequest("an ID in a path must not contain a slash"), request.scope, kind="Params")
        case 404:
            return render(NoSuchRoute(f"there is no {method} {path}"), request.scope)
        case 405:
            headers = {"Allow": ", ".join(sorted(_methods(request)))}
            return _named(
                request.scope, "MethodNotAllowedError", f"{path} does not take {method}", 405, headers=headers
            )
    return _named(request.scope, "HTTPError", str(error.detail), error.status_code, headers=dict(error.headers or {}))


def _methods(request: Request) -> set[str]:
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.path_regex.match(route_path(request.scope)):
            found |= route.methods or set()
    return found


def _warn(event: str, scope: Scope) -> None:
    log.warning(event, extra=_about(scope))


def _about(scope: Scope) -> dict[str, str]:
    route = scope.get("route")
    return {"method": scope["method"], "route": getattr(route, "path", "")}
