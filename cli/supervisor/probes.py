"""How the supervisor sees that a child has come up."""

import http.client
import re
from collections.abc import Callable
from pathlib import Path

from cli import valkey
from cli.supervisor.child import Child

#: A probe waits no longer than this, so that the supervisor stays awake.
_TIMEOUT_S = 0.5

#: A worker that has been running for so long without saying that it is ready counts as up. It says so when it has
#: reached the broker, and it works without one.
_WORKER_UP_AFTER_S = 6.0

#: In a line of text, or at the end of one in JSON.
_WORKER_READY = re.compile(r"\bready\.(\"})?\s*$")

#: What a server answers while it cannot serve.
_SERVER_ERROR = 500


def http_answers(host: str, port: int, path: str) -> Callable[[Child], bool]:
    """Up as soon as a request is answered with anything but a server's error."""

    def is_up(_: Child) -> bool:
        connection = http.client.HTTPConnection(reachable(host), port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < _SERVER_ERROR
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return is_up


def valkey_answers(socket: Path) -> Callable[[Child], bool]:
    return lambda _: valkey.answers(socket, timeout_s=_TIMEOUT_S)


def worker_says_so(child: Child) -> bool:
    """Up as soon as Celery has written that it is ready."""
    return child.lived_s > _WORKER_UP_AFTER_S or any(_WORKER_READY.search(line) for line in child.log.this_life())


def reachable(host: str) -> str:
    """The address at which this machine reaches a server bound to `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 (nothing is bound here)
