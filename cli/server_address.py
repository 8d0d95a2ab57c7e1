"""Where the server is, and the key or password for it: what every client command asks first."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from cli import running
from cli.called import typed
from cli.environment import read_settings
from cli.exits import UsageError

USUAL_PORT = 4096
"""The port of a server that was told none: OpenCode's own."""

EXAMPLE = f"http://127.0.0.1:{USUAL_PORT}"


@dataclass(frozen=True)
class ServerAddress:
    """A server to talk to."""

    #: `http://host:port`, without a slash at the end.
    url: str
    #: Who said so, for people: `--url or PROMPTQ_URL`, a path, or `the default`.
    source: str
    password: str | None = field(default=None, repr=False)
    #: Beats the password.
    key: str | None = field(default=None, repr=False)

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, so that no proxy is asked."""
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


def find_server(url: str | None = None) -> ServerAddress:
    """Find the server: as given, else the `promptq up` that runs in the data directory, else the usual port here.

    What it is asked with is `PROMPTQ_KEY`, else `PROMPTQ_PASSWORD`; there is no option for them, because other users
    can read a command line.

    Raises:
        Refusal: the URL or the settings cannot be used.
    """
    if url:
        return address_of(_checked(url), "--url or PROMPTQ_URL")
    settings = read_settings()
    up = running.find(settings.data_dir)
    if up is not None:
        return address_of(up.url, str(settings.data_dir / running.NAME))
    return address_of(f"http://127.0.0.1:{settings.port or USUAL_PORT}", "the default")


def address_of(url: str, source: str) -> ServerAddress:
    """Say with what a server is asked.

    Raises:
        Refusal: the settings cannot be used.
    """
    settings = read_settings()
    password = settings.password.get_secret_value() if settings.password else None
    return ServerAddress(url, source, password, _key(os.environ.get("PROMPTQ_KEY", "")))


def find_server_for_operator(url: str | None = None) -> ServerAddress:
    """Find the server, with what opens what is of all tenants: the password for metrics, else the server's.

    A key does not open it; it is sent only where there is nothing else, to be told so.

    Raises:
        Refusal: the URL or the settings cannot be used.
    """
    found = find_server(url)
    metrics = read_settings().metrics_password
    password = metrics.get_secret_value() if metrics is not None else found.password
    return replace(found, password=password, key=None) if password is not None else found


def _key(given: str) -> str | None:
    key = given.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(f"PROMPTQ_KEY is no key; one looks like promptq_…, and {typed('key new')} makes it")
    return key or None


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        raise UsageError(f"{url!r} is not a server's URL; one looks like {EXAMPLE}") from None
    if not usable or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is not a server's URL; one looks like {EXAMPLE}")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "the URL holds a user or a password; set PROMPTQ_KEY or PROMPTQ_PASSWORD instead, and leave them out"
        )
    return url.rstrip("/")
