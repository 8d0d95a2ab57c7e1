"""The model, as a process: `python -m tests.faults.model DIRECTORY PORT`.

It writes down each question before it answers, in the file `model.jsonl` of the round that the question's session
belongs to; it answers from what it was shown, and tells the attempt; and it has the troubles that providers have.
"""

import asyncio
import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from domain.clock import system_clock
from tests.crash.model import answer_to
from tests.faults.prompts import Kind, kind_of
from tests.support.history import Call
from tests.support.history_files import Records

RETRY_AFTER_S = 1

#: Longer than the leases of a run, shorter than patience.
SLOW_S = 4.0
FOREVER_S = 600.0

#: What the first attempt meets, by kind; and those that every attempt meets.
_AT_FIRST = {Kind.LIMITED, Kind.BROKEN, Kind.RESET, Kind.GARBAGE, Kind.HALF, Kind.HANGING}
_ALWAYS = {Kind.REFUSED, Kind.HOPELESS, Kind.ENDLESS}


def how(kind: Kind, attempt: int) -> str:
    """In which way the model answers."""
    return str(kind) if kind in _ALWAYS or (kind in _AT_FIRST and attempt == 1) else "whole"


def delay_s(call: Call, kind: Kind) -> float:
    """How long it thinks: mostly for up to a tenth of a second.

    A repeated attempt mostly takes longer, so that it is under way when the one before it is handed in.
    """
    chance = random.Random(f"{call.prompt} {call.attempt}")
    if kind is Kind.SLOW:
        return SLOW_S
    if call.attempt > 1 and chance.random() < 0.7:
        return chance.uniform(0.5, 1.5)
    return 0.6 if chance.random() < 0.05 else chance.uniform(0, 0.1)


def round_of(session: str) -> str:
    """The directory of the round that a session belongs to: the part of its name before the last underscore."""
    return session.removeprefix("ses_").removeprefix("tmp_").split("_")[0]


class Model:
    """Answers questions, each from a connection of one worker."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._records: dict[str, Records] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer on a connection until the other side has gone."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(_header(head, b"content-length"))
                await self._answer(json.loads(await reader.readexactly(length)), writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()

    async def _answer(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        shown = tuple((said, answered) for said, answered in asked.pop("shown"))
        kind = kind_of(asked["prompt"])
        text = answer_to(asked["prompt"], shown, asked["attempt"])
        call = Call(**asked, shown=shown, asked=system_clock(), answer=text, how=how(kind, asked["attempt"]))
        if call.how == Kind.LIMITED:
            call = replace(call, retry_after_ms=RETRY_AFTER_S * 1_000)
        self._write(call)
        if call.how in {Kind.HANGING, Kind.ENDLESS}:
            await asyncio.sleep(FOREVER_S)
        await asyncio.sleep(delay_s(call, kind))
        await _send(call, writer)

    def _write(self, call: Call) -> None:
        name = round_of(call.session)
        if name not in self._records:
            self._records = {name: Records(self._directory / name / "model.jsonl")}
        self._records[name].write(call)


async def _send(call: Call, writer: asyncio.StreamWriter) -> None:
    content = call.answer.encode()
    half = len(content) // 2
    match call.how:
        case "limited":
            writer.write(_reply(429, b"", f"Retry-After: {RETRY_AFTER_S}\r\n"))
        case "broken" | "hopeless":
            writer.write(_reply(500, b"trouble"))
        case "refused":
            writer.write(_reply(400, b"no"))
        case "garbage":
            writer.write(_reply(200, b"\xff\xfe" + content[:5]))
        case "reset":
            raise ConnectionResetError
        case "half":
            writer.write(_head(200, len(content)) + content[:half])
            await writer.drain()
            raise ConnectionResetError
        case _:
            # In two pieces, as a model that streams.
            writer.write(_head(200, len(content)) + content[:half])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(content[half:])
    await writer.drain()


def _reply(status: int, content: bytes, more: str = "") -> bytes:
    return _head(status, len(content), more) + content


def _head(status: int, length: int, more: str = "") -> bytes:
    return f"HTTP/1.1 {status} As asked\r\nContent-Length: {length}\r\n{more}\r\n".encode()


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.strip().lower() == name:
            return value.strip()
    return b"0"


async def main(directory: Path, port: int) -> None:
    server = await asyncio.start_server(Model(directory).serve, "127.0.0.1", port, limit=2**24)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
