"""The executor `recorded`, which workers under test load: it asks the test's recording model over HTTP."""

import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import httpx2

from domain.messages import Part, Usage
from domain.settings import Settings
from executors.base import ENTRY_POINTS, Event, Request, StepFinish, TextDelta, TransientError

PROVIDER = "recorded"

#: Where the model is.
VARIABLE = "RECORDING_MODEL_URL"


def register(directory: Path, provider: str = PROVIDER, place: str = f"{__name__}:RecordedExecutor") -> str:
    """Make a directory which, on PYTHONPATH, makes processes find an executor as if it were installed.

    `place` is where it is, as entry points name things: `module:class`.
    """
    made = directory / f"{provider}-1.dist-info"
    made.mkdir(parents=True, exist_ok=True)
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {provider}\nVersion: 1\n")
    (made / "entry_points.txt").write_text(f"[{ENTRY_POINTS}]\n{provider} = {place}\n")
    return str(directory)


def text_of(parts: Iterable[Part]) -> str:
    """Put the text parts of a message together."""
    return "".join(part["text"] for part in parts if part["type"] == "text")


class RecordedExecutor:
    """Asks once an attempt; who is asked writes it down."""

    def __init__(self, _settings: Settings) -> None:
        self._client = httpx2.AsyncClient(base_url=os.environ[VARIABLE], timeout=60)

    async def run(self, request: Request) -> AsyncIterator[Event]:
        turns = await request.history()
        asked = {
            "session": request.job.session_id,
            "job": request.job.id,
            "attempt": request.job.attempt,
            "prompt": text_of(request.prompt.parts),
            "shown": [(text_of(turn.prompt.parts), text_of(turn.answer.parts)) for turn in turns if turn.answer],
        }
        try:
            answer = await self._client.post("/", json=asked)
        except httpx2.TransportError as error:
            raise TransientError("model_away", "the model did not answer") from error
        first, blank, rest = answer.text.partition(" ")
        yield TextDelta(first)
        yield TextDelta(blank + rest)
        yield StepFinish("stop", Usage(input=1, output=1))

    async def aclose(self) -> None:
        await self._client.aclose()
