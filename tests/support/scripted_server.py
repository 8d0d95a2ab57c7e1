"""A server on loopback that does what a test's script says, for what a real one cannot be made to do on demand."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True)
class Reply:
    """An answer; one without a status breaks the connection off."""

    status: int | None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


BREAK_OFF = Reply(None)


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class ScriptedServer:
    """Gives the replies of its script in order, the last one again and again. A context manager."""

    def __init__(self, *script: Reply) -> None:
        self.asked: list[Asked] = []
        self._script = list(script)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._next

        class Handler(BaseHTTPRequestHandler):
            def handle_any(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = answer(Asked(self.command, self.path, headers, json.loads(raw) if raw else None))
                self.close_connection = True
                if reply.status is None:
                    return
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {"Content-Length": str(len(content)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server has
                pass

        return Handler


def paths(asked: Sequence[Asked]) -> list[str]:
    """Say what was asked for: `GET /job` and so on."""
    return [f"{each.method} {each.path}" for each in asked]
