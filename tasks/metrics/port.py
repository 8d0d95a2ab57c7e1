"""A worker's own port for scrapers: `/metrics`, and nothing else."""

from __future__ import annotations

import socket
import threading
from base64 import b64decode
from binascii import Error as NotBase64
from hmac import compare_digest
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from domain.exposition import CONTENT_TYPE, Exposition

CLOSE_S = 1.0


class MetricsPort(ThreadingHTTPServer):
    """Listens until it is closed, in threads of its own."""

    daemon_threads = True

    def __init__(self, exposition: Exposition, *, host: str, port: int, password: str | None) -> None:
        """Open the port; with a password, it is asked of everybody, as Basic (under any name) or Bearer.

        Raises:
            OSError: it cannot be opened.
        """
        self.exposition = exposition
        self.password = password.encode() if password is not None else None
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Request)
        self._thread = threading.Thread(target=self.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        """Bind, without asking a name server what this machine is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""

    def close(self) -> None:
        """Close it."""
        self.shutdown()
        self.server_close()
        self._thread.join(CLOSE_S)


class _Request(BaseHTTPRequestHandler):
    server: MetricsPort
    timeout = 10

    def do_GET(self) -> None:
        """Answer a scrape."""
        if not self._is_known():
            self._answer(HTTPStatus.UNAUTHORIZED, more={"WWW-Authenticate": 'Basic realm="promptq", charset="UTF-8"'})
        elif self.path.partition("?")[0] != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, self.server.exposition.text(), more={"Content-Type": CONTENT_TYPE})

    def _answer(self, status: HTTPStatus, body: bytes = b"", *, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(more or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _is_known(self) -> bool:
        if self.server.password is None:
            return True
        scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
        given = credentials.strip().encode("latin-1", "replace")
        match scheme.lower():
            case "bearer":
                return compare_digest(given, self.server.password)
            case "basic":
                try:
                    return compare_digest(b64decode(given, validate=True).partition(b":")[2], self.server.password)
                except NotBase64:
                    return False
        return False

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing of requests."""
