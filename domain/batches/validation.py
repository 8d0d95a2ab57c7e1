"""Whether a file can be run: all its lines are read, and what is wrong with them is listed, up to a hundred faults.

Memory stays flat: of each line no more than eight bytes are remembered, to find names that come twice.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from domain.batches.batch import LineError
from domain.batches.lines import RawLine
from domain.batches.reading import LineReader, LineRefused, custom_id_of
from domain.record import Record

MOST_ERRORS = 100

_DRAWERS = 256

Lines = Callable[[], Iterable[RawLine]]
"""Reads the file from its beginning."""


@dataclass(frozen=True)
class Findings(Record):
    """What a file holds."""

    #: Lines that are not blank.
    total: int
    #: How many of these cannot be run.
    invalid: int = 0
    has_ephemeral: bool = False
    errors: tuple[LineError, ...] = ()
    #: The numbers of lines whose `custom_id` an earlier one has.
    repeated: frozenset[int] = frozenset()


def validate(lines: Lines, reader: LineReader, *, file: str, most_lines: int) -> Findings:
    """Read all lines of a file.

    Args:
        lines: reads it; it is read twice if names come twice.
        reader: reads lines.
        file: its name, for the messages.
        most_lines: how many lines it may have.
    """
    total = invalid = 0
    has_ephemeral = False
    errors: list[LineError] = []
    names = _Names()
    for raw in lines():
        total += 1
        if total > most_lines:
            message = f"{file}: has more than {most_lines:,} lines"
            return Findings(0, 1, errors=(LineError("too_many_lines", message),))
        try:
            line = reader.read(raw)
        except LineRefused as refusal:
            invalid += 1
            if refusal.custom_id is not None:
                names.add(refusal.custom_id)
            if len(errors) < MOST_ERRORS:
                errors.append(_error(file, raw.number, refusal))
            continue
        names.add(line.name.custom_id)
        has_ephemeral = has_ephemeral or line.is_ephemeral
    if not total:
        return Findings(0, errors=(LineError("empty_file", f"{file}: has no lines"),))
    suspected = names.repeated()
    if not suspected:
        return Findings(total, invalid, has_ephemeral, tuple(errors))
    repeated, more = _repeats(lines, reader, suspected, file)
    errors = sorted([*errors, *more], key=lambda error: error.line or 0)[:MOST_ERRORS]
    return Findings(total, invalid + len(repeated), has_ephemeral, tuple(errors), frozenset(repeated))


def _repeats(lines: Lines, reader: LineReader, suspected: set[int], file: str) -> tuple[list[int], list[LineError]]:
    """Find the good lines whose name an earlier line has, good or bad, and describe the first of them."""
    first: dict[str, int] = {}
    repeated: list[int] = []
    errors: list[LineError] = []
    for raw in lines():
        custom_id = custom_id_of(raw)
        if custom_id is None or _hash(custom_id) not in suspected:
            continue
        earlier = first.setdefault(custom_id, raw.number)
        if earlier == raw.number or not _is_good(raw, reader):
            continue
        repeated.append(raw.number)
        if len(errors) < MOST_ERRORS:
            refusal = repetition(earlier, custom_id)
            errors.append(_error(file, raw.number, refusal))
    return repeated, errors


def repetition(earlier: int | None, custom_id: str) -> LineRefused:
    """Say that an earlier line has the name of this one."""
    where = f"line {earlier}" if earlier is not None else "an earlier line"
    return LineRefused("duplicate_custom_id", f"custom_id: {where} has it too", field="custom_id", custom_id=custom_id)


def _is_good(raw: RawLine, reader: LineReader) -> bool:
    try:
        reader.read(raw)
    except LineRefused:
        return False
    return True


def _error(file: str, number: int, refusal: LineRefused) -> LineError:
    return LineError(refusal.code, f"{file}, line {number}: {refusal}", number, refusal.field)


class _Names:
    """Eight bytes of each name, in drawers that are looked through one by one."""

    def __init__(self) -> None:
        self._drawers = [array("Q") for _ in range(_DRAWERS)]

    def add(self, custom_id: str) -> None:
        number = _hash(custom_id)
        self._drawers[number & (_DRAWERS - 1)].append(number)

    def repeated(self) -> set[int]:
        """Return the hashes that came more than once."""
        found: set[int] = set()
        for drawer in self._drawers:
            seen: set[int] = set()
            if len(set(drawer)) < len(drawer):
                for number in drawer:
                    (found if number in seen else seen).add(number)
        return found


def _hash(custom_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(custom_id.encode(), digest_size=8).digest())
