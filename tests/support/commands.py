"""Commands of ours as processes, watched by a test."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.support.waiting import eventually

#: What a test passes on of its own environment: nothing that is set for promptq outside.
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE")


def clean_environment(**more: str) -> dict[str, str]:
    """An environment without anybody's `PROMPTQ_*`; `more` is added, with PROMPTQ_ before each name in capitals."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **{f"PROMPTQ_{name}" if name.isupper() else name: value for name, value in more.items()}}


class Command:
    """A process whose output is read as it comes. A context manager: at the end nothing of it is left."""

    def __init__(self, *arguments: str, output: Path, environment: Mapping[str, str] | None = None) -> None:
        """Start `python ARGUMENTS…`; what it prints, both ways, goes to the file `output`."""
        self.output_file = output
        with output.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=dict(environment) if environment is not None else None,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    def says(self, text: str, timeout: float = 30) -> str:
        """Wait until it has printed `text`; returns all that it has printed."""

        def said() -> bool:
            assert text in self.output, self.output
            return True

        eventually(said, timeout, what=f"the command says {text!r}")
        return self.output

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ends(self, timeout: float = 20) -> int:
        """Wait for its end, and return the exit code."""
        return self.process.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
