"""The prompts of the demo: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.refusal import Refusal

FILE = Path(__file__).parents[2] / "examples" / "prompts.jsonl"

_ID_SHOWN = 12


@dataclass(frozen=True)
class Line:
    """One prompt of the file."""

    session: str
    #: The caller's name for the prompt: what makes a second pass over the file harmless.
    message_id: str
    prompt: str
    #: The parameters that the session's ID was computed from.
    metadata: Mapping[str, str]

    def body(self, *, delay_s: float) -> dict[str, Any]:
        """Write the prompt as the API takes it; the echo model is to think for `delay_s` seconds."""
        return {
            "messageID": self.message_id,
            "parts": [{"type": "text", "text": self.prompt}],
            "metadata": {**self.metadata, "echo": {"delay": delay_s}},
        }


def read(path: Path = FILE) -> list[Line]:
    """Read the prompts.

    Raises:
        Refusal: the file is not there, as where promptq is installed without its checkout.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise Refusal(f"the demo needs {path}, which is in promptq's repository: {error.strerror}.") from error
    records = [json.loads(line) for line in text.splitlines()]
    return [Line(each["session"], each["messageID"], each["prompt"], each["metadata"]) for each in records]


def by_session(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Group prompts by session, in the order of the file."""
    sessions: dict[str, list[Line]] = {}
    for line in lines:
        sessions.setdefault(line.session, []).append(line)
    return sessions


def short(session_id: str) -> str:
    """Cut a session ID to what a table has room for."""
    return session_id[:_ID_SHOWN] + "…"


def label(line: Line) -> str:
    """Say whose session it is: the first two parameters."""
    return " ".join(list(line.metadata.values())[:2])
