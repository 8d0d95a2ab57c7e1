"""Reports as text for a terminal, as Markdown for a page, as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from benchmarks.figures import Line, Ratio, Report, Sample
from benchmarks.machine import Machine

_LARGE = 100
_SMALL = 10


def as_text(report: Report) -> str:
    """One report, its columns in line."""
    rows = [("", "median", "(least to greatest)", "beside", "aim")]
    rows += [
        (line.case, _value(line.sample), f"({_spread(line.sample)})", _ratio(line.ratio), _aim(line))
        for line in report.lines
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{report.row}: {report.title}", *(f"  {line}" for line in lines), *_notes(report, "  ")])


def as_markdown(reports: Sequence[Report], machine: Machine, command: str) -> str:
    """All reports, with what one must know of the run."""
    out = [f"Command: `{command}`", "", *(f"- {name}: {value}" for name, value in machine.facts.items()), ""]
    for report in reports:
        out += [f"### `{report.row}`: {report.title}", "", "| case | median | least to greatest | beside | aim |"]
        out += ["|---|---|---|---|---|"]
        out += [
            f"| {line.case} | {_value(line.sample)} | {_spread(line.sample)} | {_ratio(line.ratio)} | {_aim(line)} |"
            for line in report.lines
        ]
        out += ["", *_notes(report, "- "), *([""] if report.notes else [])]
    return "\n".join(out).rstrip()


def as_json(reports: Sequence[Report], machine: Machine, command: str) -> str:
    """All reports, with every value that was measured."""
    rows = []
    for report in reports:
        row = asdict(report)
        for line, written in zip(report.lines, row["lines"], strict=True):
            written["sample"]["median"] = line.sample.median
        rows.append(row)
    return json.dumps({"command": command, "machine": machine.facts, "rows": rows}, indent=1, ensure_ascii=False)


def _notes(report: Report, bullet: str) -> list[str]:
    return [f"{bullet}{note}" for note in report.notes]


def _value(sample: Sample) -> str:
    return f"{_number(sample.median)} {sample.unit}"


def _spread(sample: Sample) -> str:
    least, greatest = sample.spread
    return f"{_number(least)} to {_number(greatest)}, {len(sample.values)} times" if len(sample.values) > 1 else "once"


def _ratio(ratio: Ratio | None) -> str:
    return f"{ratio.value:.2f} × {ratio.of}" if ratio else ""


def _aim(line: Line) -> str:
    return f"{line.aim.words}: {'met' if line.aim.met else 'MISSED'}" if line.aim else ""


def _number(value: float) -> str:
    if abs(value) >= _LARGE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= _SMALL else f"{value:.2f}"
