"""OpenCode's command, unmodified, run by a test in a home of its own."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.clients.installation import Installation

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")

#: It must ask nobody on the network for anything.
QUIET = {
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
}


@dataclass(frozen=True)
class Run:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[Any]:
        """What `--format json` printed."""
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


def environment(home: Path, **more: str) -> dict[str, str]:
    """An environment in which OpenCode finds nothing of whoever runs the tests."""
    places = {
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return {**kept, **QUIET, **places, "LANG": "C.UTF-8", **more}


@dataclass(frozen=True)
class OpenCode:
    """The command, with a home and a directory that it works in."""

    installation: Installation
    home: Path

    @property
    def directory(self) -> Path:
        """Where it is run."""
        place = self.home / "work"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def __call__(self, *arguments: str, said: str = "", more: Mapping[str, str] | None = None) -> Run:
        """Run `opencode ARGUMENTS…` to its end; `said` is its standard input."""
        done = subprocess.run(
            [str(self.installation.opencode), *arguments],
            cwd=self.directory,
            env=environment(self.home, **(more or {})),
            input=said,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Run(done.returncode, done.stdout, _COLOURS.sub("", done.stderr))
