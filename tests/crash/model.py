"""A model on loopback that writes down what it is asked, and answers from what it was shown."""

import hashlib
import json
import random
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from domain.clock import system_clock
from tests.support.history import Call

#: Seconds that an answer takes.
Delay = Callable[[Call], float]


def answer_to(prompt: str, shown: tuple[tuple[str, str], ...], attempt: int) -> str:
    """What the model answers: it tells the attempt, and depends on all that was shown."""
    digest = hashlib.sha256(json.dumps([*shown, prompt]).encode()).hexdigest()
    return f"{prompt}: {digest[:16]}, attempt {attempt}"


def mostly_quick(call: Call) -> float:
    """Up to a tenth of a second, and half a second now and then: some attempts outlive a renewal of their lease."""
    chance = random.Random(call.prompt)
    return 0.5 if chance.random() < 0.1 else chance.uniform(0, 0.1)


class RecordingModel:
    """A server that answers each call after `delay`. A context manager."""

    def __init__(self, delay: Delay = mostly_quick) -> None:
        self.delay = delay
        self.calls: list[Call] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, asked: dict[str, Any]) -> str:
        shown = tuple((said, answered) for said, answered in asked.pop("shown"))
        text = answer_to(asked["prompt"], shown, asked["attempt"])
        call = Call(**asked, shown=shown, asked=system_clock(), answer=text)
        with self._lock:
            self.calls.append(call)
        self._closing.wait(self.delay(call))
        return text

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self._answer

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = answer(json.loads(self.rfile.read(int(self.headers["content-length"])))).encode()
                try:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True  # whoever asked has been killed

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server has
                pass

        return Handler
