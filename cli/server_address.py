"""Where the server is, and the password for it: what every client command asks first."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cli import running
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

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, so that no proxy is asked."""
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


def find_server(url: str | None = None) -> ServerAddress:
    """Find the server: as given, else the `promptq up` that runs in the data directory, else the usual port here.

    The password is `PROMPTQ_PASSWORD`; there is no option for it, because other users can read a command line.

    Raises:
        Refusal: the URL or the settings cannot be used.
    """
    settings = read_settings()
    password = settings.password.get_secret_value() if settings.password else None
    if url:
        return ServerAddress(_checked(url), "--url or PROMPTQ_URL", password)
    up = running.find(settings.data_dir)
    if up is not None:
        return ServerAddress(up.url, str(settings.data_dir / running.NAME), password)
    return ServerAddress(f"http://127.0.0.1:{settings.port or USUAL_PORT}", "the default", password)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        raise UsageError(f"{url!r} is not a server's URL; one looks like {EXAMPLE}") from None
    if not usable or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is not a server's URL; one looks like {EXAMPLE}")
    if parts.username is not None or parts.password is not None:
        raise UsageError("the URL holds a user or a password; set PROMPTQ_PASSWORD instead, and leave them out")
    return url.rstrip("/")
