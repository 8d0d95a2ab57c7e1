"""`./run bench`: measures promptq beside plain Celery on this machine."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine, rendering
from benchmarks.figures import Report, Scale
from benchmarks.ground import KINDS, POSTGRES, Ground
from benchmarks.rows import ROWS
from tests.support.valkey import ValkeyServer


def main(arguments: Sequence[str]) -> int:
    """Run the rows that are asked for, and print what they found.

    Returns:
        The exit code: 0, whatever the figures are.
    """
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what was started is ended
    reports: list[Report] = []
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="promptq-", dir=options.directory)))
        directory.chmod(0o711)  # Postgres may run as another user, and must find its own directory in it
        described = machine.describe(directory)
        described.facts["Postgres"] = ", ".join(f"{name}={value}" for name, value in POSTGRES.items())
        described.facts["SQLite"] = "WAL, synchronous=FULL"
        valkey = ValkeyServer(directory)
        stack.callback(valkey.stop)
        valkey.start()
        ground = Ground(directory, valkey, options.scale, kinds=options.database or KINDS)
        stack.callback(ground.close)
        as_text = not options.json and not options.markdown
        if as_text:
            print("\n".join(f"{name}: {value}" for name, value in described.facts.items()), end="\n\n", flush=True)
        for row in options.rows or ROWS:
            began = time.monotonic()
            reports.append(ROWS[row](ground))
            ground.tell(f"{row} took {time.monotonic() - began:.0f} s")
            if as_text:
                print(rendering.as_text(reports[-1]), end="\n\n", flush=True)
    command = shlex.join(["./run", "bench", *arguments])
    if options.json:
        print(rendering.as_json(reports, described, command))
    if options.markdown:
        print(rendering.as_markdown(reports, described, command))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run bench", description="Measure promptq beside plain Celery.")
    parser.add_argument("rows", nargs="*", metavar="ROW", choices=[*ROWS, []], help=f"of {', '.join(ROWS)}; else all")
    scale = parser.add_mutually_exclusive_group()
    scale.set_defaults(scale=Scale.FULL)
    for name, help_ in (
        (Scale.QUICK, "smaller, with fewer repeats: minutes instead of a quarter of an hour"),
        (Scale.TINY, "only to see that everything runs: the figures mean nothing"),
    ):
        scale.add_argument(f"--{name}", dest="scale", action="store_const", const=name, help=help_)
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print every measured value as JSON")
    shape.add_argument("--markdown", action="store_true", help="print tables for docs/benchmarks.md")
    parser.add_argument("--database", action="append", choices=KINDS, help="only this one (may be given twice)")
    parser.add_argument("--directory", type=Path, help="where the databases are put; else the system's directory")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
