"""Finding the line of a TOML document that defines something: Python's parser tells places of syntax errors only."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any


def line_of(text: str, names: Sequence[str]) -> int | None:
    """Return the line, counted from 1, that first defines the table or key with these names; None if none does.

    The document must be valid. A line defines a name if the document up to the end of its statement has it, and before
    it has not.
    """
    if not names:
        return None
    lines = text.splitlines(keepends=True)
    for start, line in enumerate(lines):
        if names[-1] in line and _has(_statement(lines, start), names):
            return start + 1
    return None


def _statement(lines: list[str], start: int) -> dict[str, Any]:
    """Read the document up to the end of the statement that a line is part of: a value may go over many lines."""
    for end in range(start + 1, len(lines) + 1):
        try:
            return tomllib.loads("".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue
    return {}


def _has(document: Any, names: Sequence[str]) -> bool:
    for name in names:
        if not isinstance(document, dict) or name not in document:
            return False
        document = document[name]
    return True
