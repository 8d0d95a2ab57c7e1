"""The offline model: it answers with the prompt's own text, word by word. Deterministic; no network, no keys.

Tokens are words. With the setting `echo_faults` it obeys a prompt's `metadata.echo`, in this order: `delay` (seconds
before the answer), `stall` (one word, then nothing for ever), `fail` (`transient` or `permanent`; with `failTimes: n`
only the first n attempts).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from domain.messages import Part, Usage
from domain.settings import Settings
from executors.base import Event, PermanentError, Request, StepFinish, TextDelta, TransientError

#: A word with the blanks after it, so that the pieces make up the text again; or the blanks that it begins with.
_WORDS = re.compile(r"\S+\s*|\s+")

_WORDS_AT_A_TIME = 256
"""After so many words a long answer lets others have the event loop."""

NOTHING_SAID = "(an empty prompt)"


class EchoExecutor:
    """Answers for the provider `echo`, whatever the model is called."""

    def __init__(self, settings: Settings) -> None:
        self._obeys = settings.echo_faults

    async def run(self, request: Request) -> AsyncIterator[Event]:
        """Answer with what was said."""
        text = said(request.prompt.parts)
        words: list[str] = _WORDS.findall(text)
        if self._obeys:
            wishes = request.metadata.get("echo")
            if wishes:
                async for event in _obey(wishes, request.job.attempt, words):
                    yield event
        for number, word in enumerate(words, start=1):
            yield TextDelta(word)
            if not number % _WORDS_AT_A_TIME:
                await asyncio.sleep(0)
        count = sum(not word.isspace() for word in words)
        yield StepFinish("stop", Usage(input=count, output=count), cost=0.0)

    async def aclose(self) -> None:
        """Nothing is held."""


def said(parts: Iterable[Part]) -> str:
    """Put a prompt's parts into words: its texts, and a short note for what is not text."""
    spoken = "\n".join(filter(None, map(_spoken, parts)))
    return spoken if spoken.strip() else NOTHING_SAID


def _spoken(part: Part) -> str:
    match part.get("type"):
        case "text":
            return "" if part.get("ignored") else str(part.get("text", ""))
        case "file":
            return f"[file {part.get('filename') or 'without a name'}, {part.get('mime', 'of no type')}]"
        case "agent":
            return f"@{part.get('name', '')}"
        case "subtask":
            return str(part.get("prompt", ""))
        case kind:
            return f"[{kind}]"


async def _obey(wishes: Mapping[str, Any], attempt: int, words: list[str]) -> AsyncIterator[Event]:
    if wishes.get("delay"):
        await asyncio.sleep(float(wishes["delay"]))
    if wishes.get("stall"):
        yield TextDelta(words[0])
        await asyncio.Event().wait()
    if wishes.get("fail") and attempt <= wishes.get("failTimes", attempt):
        if wishes["fail"] == "transient":
            raise TransientError("echo_fault", "the prompt asked for a transient failure")
        raise PermanentError("echo_fault", "the prompt asked for a permanent failure")
