"""Runs the `promptq` command in this process, as its entry point does."""

import io
import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from cli.main import main


@dataclass(frozen=True)
class Run:
    """How a run of the command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[list[str]]:
        return [line.split("\t") for line in self.out.splitlines()]


class Promptq:
    """Calls `promptq` with arguments; `url`, if set, is in its environment."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, stdin: bytes = b"") -> Run:
        self._capsys.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["promptq", *arguments])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = self._capsys.readouterr()
        return Run(int(caught.value.code or 0), out, err)

    def fails(self, code: int, *arguments: str, stdin: bytes = b"") -> str:
        """Run what must fail with this code and one sentence, which is returned."""
        run = self(*arguments, stdin=stdin)
        assert run.code == code, run
        assert run.err.startswith("promptq: "), run.err
        assert run.err.count("\n") == 1, run.err
        return run.err.removeprefix("promptq: ").rstrip("\n")

    def does(self, *arguments: str, stdin: bytes = b"") -> str:
        """Run what must succeed and complain of nothing; returns what it printed, without the line's end."""
        run = self(*arguments, stdin=stdin)
        assert (run.code, run.err) == (0, ""), run
        return run.out.removesuffix("\n")
