"""The lines of a batch's file: how bytes become lines, and how a line is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

from domain.record import Record

BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n\v\f"
_AROUND = 64
"""Bytes that may stand around a line's own: a byte order mark, white space."""


class RawLine(NamedTuple):
    """A line that is not blank, as it stands in the file."""

    #: Counted from 1, blank lines too, as an editor counts.
    number: int
    #: Without white space around it; None if it is longer than a line may be.
    text: bytes | None
    #: Where the next line begins, in bytes from the file's beginning.
    end: int


@dataclass(frozen=True)
class Place(Record):
    """Where in a file somebody has come to."""

    #: The number of the last line that was passed.
    number: int = 0
    #: Where the next one begins.
    offset: int = 0


START = Place()


def split(pieces: Iterable[bytes], longest: int, at: Place = START) -> Iterator[RawLine]:
    """Cut a file into lines; blank ones are left out.

    Args:
        pieces: the file's bytes from `at` on, in pieces of any length.
        longest: the most bytes that a line may have; no more than that, and a piece, are held.
        at: what was passed before.
    """
    most = longest + _AROUND
    number, end = at.number, at.offset
    #: The pieces of a line that has begun, and its length so far; of one that is too long nothing is held.
    held: list[bytes] = []
    size = 0

    def line_of(text: bytes, whole: int) -> RawLine | None:
        if whole > most:
            return RawLine(number, None, end)
        if number == 1:
            text = text.removeprefix(BOM)
        text = text.strip(_BLANK)
        return RawLine(number, text if len(text) <= longest else None, end) if text else None

    for piece in pieces:
        texts = piece.split(b"\n")
        last = texts.pop()
        for text in texts:
            whole = size + len(text)
            number, end = number + 1, end + whole + 1
            line = line_of(b"".join((*held, text)) if held else text, whole)
            held, size = [], 0
            if line is not None:
                yield line
        if last:
            size += len(last)
            held = [*held, last] if size <= most else []
    if size:
        number, end = number + 1, end + size
        line = line_of(b"".join(held), size)
        if line is not None:
            yield line


class LineName(NamedTuple):
    """What a batch needs to know of a line when its job ends; a job carries it as text."""

    number: int
    #: Of what it asks for: `domain.batches.reading.Line.hash`.
    hash: int
    custom_id: str

    def __str__(self) -> str:
        return f"{self.number} {self.hash} {self.custom_id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote."""
        number, hash_, custom_id = text.split(" ", 2)
        return cls(int(number), int(hash_), custom_id)
