"""The image's first stage, gone through by hand: its own commands, in a directory instead of a container."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.containers.files import ROOT, Instruction, stages

#: Absolute paths of the image that the first stage writes to.
_PLACES = ("/opt/promptq", "/src")

#: Where packages come from is the business of the machine; nothing else of its environment counts.
_KEPT = ("PIP_", "UV_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS", "SSL_CERT", "http_proxy", "https_proxy", "no_proxy")


class BuiltImage:
    """What the first stage has made, in `directory` as if that were the root."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "opt/promptq/bin"
        self._working_directory = directory
        self._environment = {
            **{name: value for name, value in os.environ.items() if name.startswith(_KEPT)},
            "HOME": str(directory / "home"),
            "TMPDIR": str(directory / "tmp"),
            "PATH": f"{directory / 'usr/bin'}:/usr/bin:/bin",
            # As ./run has it: behind a proxy with a certificate of its own, the system knows it.
            "UV_SYSTEM_CERTS": "1",
        }

    def build(self) -> None:
        """Do what the first stage says, from an empty home and a Python that has nothing but pip."""
        for name in ("home", "tmp"):
            (self.directory / name).mkdir()
        subprocess.run([sys.executable, "-m", "venv", self.directory / "usr"], check=True, capture_output=True)
        for instruction in stages()[0]:
            self._follow(instruction)

    def _follow(self, instruction: Instruction) -> None:
        rest = instruction.rest
        for place in _PLACES:
            rest = rest.replace(place, f"{self.directory}{place}")
        match instruction.word:
            case "FROM":
                pass
            case "ENV":
                for name, _, value in (word.partition("=") for word in rest.split()):
                    self._environment[name] = value
            case "WORKDIR":
                self._working_directory = Path(rest)
                self._working_directory.mkdir()
            case "COPY":
                *sources, target = rest.split()
                for source in sources:
                    self._copy(source, self._working_directory / target)
            case "RUN":
                ran = subprocess.run(
                    ["/bin/sh", "-c", rest],
                    cwd=self._working_directory,
                    env=self._environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert ran.returncode == 0, f"(is there a network?) {rest}\n{ran.stdout}\n{ran.stderr}"
            case _:
                raise AssertionError(f"a builder does not know {instruction}")

    @staticmethod
    def _copy(source: str, target: Path) -> None:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
