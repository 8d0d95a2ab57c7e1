"""What a benchmark finds out: samples of several repeats, lines that put them beside others, reports of a row."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Scale(StrEnum):
    """How much is measured."""

    FULL = "full"
    #: Smaller, with fewer repeats: to see where one stands.
    QUICK = "quick"
    #: To see that everything runs. Its figures mean nothing.
    TINY = "tiny"


@dataclass(frozen=True)
class Sample:
    """One figure, measured several times."""

    values: tuple[float, ...]
    unit: str

    @classmethod
    def of(cls, values: Sequence[float], unit: str) -> Sample:
        return cls(tuple(values), unit)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest."""
        return min(self.values), max(self.values)


@dataclass(frozen=True)
class Ratio:
    """A figure as a multiple of another of the same run."""

    value: float
    #: Of what.
    of: str


@dataclass(frozen=True)
class Aim:
    """What was aimed at, and whether it was reached."""

    words: str
    met: bool


@dataclass(frozen=True)
class Line:
    """One case of a row."""

    case: str
    sample: Sample
    ratio: Ratio | None = None
    aim: Aim | None = None


@dataclass(frozen=True)
class Report:
    """What a row found out."""

    row: str
    title: str
    lines: list[Line]
    #: What must be known to read the lines.
    notes: list[str] = field(default_factory=list)


def at_least(ratio: Ratio, least: float) -> Aim:
    return Aim(f"≥ {least:g} × {ratio.of}", ratio.value >= least)


def at_most(ratio: Ratio, most: float) -> Aim:
    return Aim(f"≤ {most:g} × {ratio.of}", ratio.value <= most)


def below(sample: Sample, limit: float) -> Aim:
    return Aim(f"< {limit:g} {sample.unit}", sample.median < limit)


def multiple(sample: Sample, of: Sample, name: str) -> Ratio:
    """The ratio of two medians."""
    return Ratio(sample.median / of.median, name)


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below or at which so many percent of all are. `values` may be in any order."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
