"""Lines of files, as tests write them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from domain.batches.lines import RawLine, split
from domain.batches.reading import Defaults, Line, LineReader
from domain.batches.validation import Findings, validate
from domain.models import Catalog
from domain.requests.prompts import Terms

TERMS = Terms(Catalog({"echo", "p"}), echo_faults=True)
LONGEST = 10_000


def chat(custom_id: str = "a", text: str = "hi", **fields: Any) -> dict[str, Any]:
    """A line that asks for a chat completion; `fields` are of its body."""
    body = {"messages": [{"role": "user", "content": text}], **fields}
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def to_session(custom_id: str = "a", session: str = "ses_a", text: str = "hi", **fields: Any) -> dict[str, Any]:
    """A line that is a prompt to a session; `fields` are of its body."""
    body = {"parts": [{"type": "text", "text": text}], **fields}
    return {"custom_id": custom_id, "method": "POST", "url": f"/session/{session}/prompt_async", "body": body}


def short(custom_id: str = "a", prompt: str = "hi", **fields: Any) -> dict[str, Any]:
    """A line in the short form."""
    return {"custom_id": custom_id, "prompt": prompt, **fields}


def jsonl(*lines: dict[str, Any] | str | bytes) -> bytes:
    """A file of lines."""
    return b"".join(_bytes(line) + b"\n" for line in lines)


def _bytes(line: dict[str, Any] | str | bytes) -> bytes:
    match line:
        case bytes():
            return line
        case str():
            return line.encode()
        case _:
            return json.dumps(line).encode()


def read(line: dict[str, Any] | str | bytes, number: int = 1, **defaults: Any) -> Line:
    """Read one line."""
    return LineReader(Defaults(**defaults), TERMS).read(RawLine(number, _bytes(line), 0))


def found_in(*lines: dict[str, Any] | str | bytes, most_lines: int = 1000, **defaults: Any) -> Findings:
    """Validate a file of lines."""
    return validated(jsonl(*lines), most_lines=most_lines, **defaults)


def validated(content: bytes, most_lines: int = 1000, **defaults: Any) -> Findings:
    """Validate a file."""
    reader = LineReader(Defaults(**defaults), TERMS)
    return validate(lambda: split([content], LONGEST), reader, file="prompts.jsonl", most_lines=most_lines)


def pieces(content: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    """Cut a file into pieces of these sizes, over and over."""
    at = number = 0
    while at < len(content):
        size = sizes[number % len(sizes)]
        yield content[at : at + size]
        at += size
        number += 1
