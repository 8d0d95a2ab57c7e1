"""How promptq is broken: texts of a copy of it are replaced. It is an error, told loudly, if one is not there."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]

#: What a copy needs to be run by the suite.
_PARTS = ("api", "cli", "domain", "executors", "storage", "tasks", "tests")


class TextGone(Exception):
    """The code that a mutation breaks has changed: the mutation has to follow it."""


@dataclass(frozen=True)
class Edit:
    """One replacement, in the one place where the text is."""

    path: str
    old: str
    new: str
    #: How many places there are.
    places: int = 1


@dataclass(frozen=True)
class Mutant:
    """A way to break promptq, and where to look for the damage."""

    name: str
    edits: Sequence[Edit]
    #: Which invariants the damage may show in: any of these.
    shows_in: frozenset[str]
    database: str
    #: The faults that bring it out.
    only: Sequence[str] = ("nothing",)
    minutes: float = 4.0
    deadly: float = 0.0
    #: Whether good prompts have few attempts: where nothing but poison ends workers.
    poisoned: bool = False


def copy_tree(to: Path) -> None:
    """Copy what runs, as it is in the work tree."""
    for part in _PARTS:
        shutil.copytree(ROOT / part, to / part, ignore=shutil.ignore_patterns("__pycache__"))


def apply(mutant: Mutant, tree: Path) -> None:
    """Break a copy.

    Raises:
        TextGone: there is nothing to break where it should be.
    """
    for edit in mutant.edits:
        path = tree / edit.path
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if text.count(edit.old) != edit.places:
            raise TextGone(f"{mutant.name}: {edit.path} has {text.count(edit.old)} × {edit.old!r}, not {edit.places}")
        broken = text.replace(edit.old, edit.new)
        compile(broken, edit.path, "exec")
        path.write_text(broken, encoding="utf-8")
