"""The real API over the store in memory, with somebody who answers prompts: all that a client can see of promptq."""

import threading
from typing import Any, Self

import uvicorn

from api.main import create_app
from domain.configuration import Configuration
from domain.ids import new_part_id
from domain.jobs import AttemptEnd, Claimed, Failure, Finished, Outcome
from domain.messages import Usage
from domain.settings import Settings
from tests.support.memory_store import MemoryStore
from tests.support.waiting import eventually

FAIL = "fail, please"
"""A prompt with this text fails for good."""

_LOOK_EVERY_S = 0.2
_SLOTS = 16


class AnsweringServer:
    """A server on a free port of loopback. Each answer is the prompt's own text. A context manager."""

    def __init__(
        self,
        *,
        password: str | None = None,
        configuration: Configuration | None = None,
        answers: bool = True,
        **given: Any,
    ) -> None:
        """Make a server with these settings; without `answers`, prompts stay queued until `begin_to_answer`."""
        self.store = MemoryStore()
        self._ring = threading.Event()
        self._stopped = threading.Event()
        self._worker = threading.Thread(target=self._answer)
        self._answers = answers
        settings = Settings.model_validate({"host": "127.0.0.1", "port": 0, "password": password, **given})
        app = create_app(
            settings, store=lambda: self.store, bell=lambda: _Bell(self._ring), configuration=configuration
        )
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on", ws="none"))
        self._thread = threading.Thread(target=self._server.run)

    @property
    def url(self) -> str:
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def begin_to_answer(self) -> None:
        self._worker.start()

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: self._server.started, what="the API is up")
        if self._answers:
            self.begin_to_answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._ring.set()
        if self._worker.is_alive():
            self._worker.join()
        self._server.should_exit = True
        self._thread.join()

    def _answer(self) -> None:
        finished: list[Finished] = []
        while not self._stopped.is_set():
            exchange = self.store.exchange("a-worker", finished, slots=_SLOTS, lease_ms=30_000)
            finished = [_finished(claimed) for claimed in exchange.claimed]
            if not finished:
                self._ring.wait(_LOOK_EVERY_S)
                self._ring.clear()


class _Bell:
    def __init__(self, ring: threading.Event) -> None:
        self._ring = ring

    def ring(self) -> None:
        self._ring.set()

    def close(self) -> None:
        """Nothing is held."""


def _finished(claimed: Claimed) -> Finished:
    job = claimed.job
    text = "\n".join(part["text"] for part in claimed.prompt.parts)
    words = len(text.split())
    end = AttemptEnd(
        Outcome.SUCCEEDED,
        parts=({"id": new_part_id(), "type": "text", "text": text},),
        usage=Usage(input=words, output=words),
        finish="stop",
    )
    if text == FAIL:
        end = AttemptEnd(Outcome.FAILED, failure=Failure("provider_error", "the model said no"))
    return Finished(job.tenant, job.session_id, job.incarnation, job.id, job.attempt, end)
