"""Who may come in: the layers around all routes that look at no content.

A server on loopback is reachable from any web page that its user opens. So requests need a `Host` that this server
goes by (a page cannot make its own name resolve to loopback and pass), and no `Origin` of somewhere else.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import BodyTooLarge, CredentialsWanted, ForeignOrigin, StrangeHost, render
from domain.errors import PromptqError
from domain.keys import Keyring, Visitor
from domain.settings import Settings

USER = "opencode"
"""The user of Basic authentication, as OpenCode's clients send it."""

OPEN_PATHS = frozenset({"/healthz"})
"""Asked by whatever watches over processes, under any name and without a password. They tell nothing."""

OPERATORS_PATHS = frozenset({"/metrics", "/status"})
"""What `PROMPTQ_METRICS_PASSWORD` opens."""

_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::[0-9]{0,5})?", re.ASCII)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - names that are no names


class Doors:
    """Lets requests in by host, origin and key or password, and says whose they are (`scope["state"]["visitor"]`)."""

    def __init__(self, app: ASGIApp, settings: Settings, keyring: Keyring) -> None:
        self._app = app
        named = {name.strip().lower() for name in settings.allowed_hosts.split(",")}
        self._hosts = _LOOPBACK | ({settings.host.lower().strip("[]")} | named) - _EVERYWHERE
        self._keyring = keyring
        self._scrapers = Keyring({}, password=_secret(settings.metrics_password))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            try:
                self._check_place(scope)
                scope.setdefault("state", {})["visitor"] = self._visitor(scope)
            except PromptqError as error:
                await render(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _check_place(self, scope: Scope) -> None:
        hosts = _values(scope, b"host")
        if len(hosts) != 1 or _name_of(hosts[0]) not in self._hosts:
            raise StrangeHost(
                "this server does not answer to that Host; PROMPTQ_ALLOWED_HOSTS names more hosts that it answers to"
            )
        if any(_authority_of(origin) != hosts[0].lower() for origin in _values(scope, b"origin")):
            raise ForeignOrigin("requests from web pages of other origins are not answered")

    def _visitor(self, scope: Scope) -> Visitor:
        visitor = self._keyring.with_nothing()
        given = _values(scope, b"authorization")
        if scope["path"] in OPERATORS_PATHS and self._scrapers.is_needed:
            visitor = _visitor_with(given[0], self._scrapers, user=None) if len(given) == 1 else None
        if visitor is None and len(given) == 1:
            visitor = _visitor_with(given[0], self._keyring)
        if visitor is None:
            raise CredentialsWanted(f"this server wants a key or its password, as Bearer or Basic (user {USER!r})")
        return visitor


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


def _visitor_with(authorization: str, keyring: Keyring, *, user: str | None = USER) -> Visitor | None:
    """Read whose key or password a header holds. A key opens under any user name, the password under `user`'s."""
    scheme, _, credentials = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            given = credentials.strip().encode("latin-1")  # as headers are decoded
            return keyring.with_key(given) or keyring.with_password(given)
        case "basic":
            try:
                name, _, given = base64.b64decode(credentials.strip(), validate=True).partition(b":")
            except (binascii.Error, ValueError):
                return None
            may_be_password = user is None or name == user.encode()
            return keyring.with_key(given) or (keyring.with_password(given) if may_be_password else None)
        case _:
            return None


class BodyLimit:
    """Stops reading a body at its limit, whatever its `Content-Length` says: nothing larger is ever held."""

    def __init__(self, app: ASGIApp, limit: int, others: Mapping[str, int] | None = None) -> None:
        """Put it around an application; `others` are the limits of paths that have their own."""
        self._app = app
        self._limit = limit
        self._others = dict(others or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._others.get(scope["path"], self._limit)
        declared = _values(scope, b"content-length")
        if any(each.isascii() and each.isdigit() and int(each[:20]) > limit for each in declared):
            await render(BodyTooLarge(limit), scope)(scope, receive, send)
            return
        taken = 0

        async def counted() -> dict[str, object]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > limit:
                raise BodyTooLarge(limit)
            return dict(message)

        await self._app(scope, counted, send)


def _values(scope: Scope, name: bytes) -> list[str]:
    """The values of a header."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _name_of(host: str) -> str | None:
    """Take the port off a `Host`, and the brackets off an IPv6 address; None of nonsense."""
    match = _HOST.fullmatch(host.lower())
    return (match[1] or match[2]) if match else None


def _authority_of(origin: str) -> str | None:
    """Return `host:port` of an origin as its browser would send it in `Host`; None of `null` and nonsense."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None
