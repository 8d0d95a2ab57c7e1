"""`Dockerfile` and `docker-compose.yml` as tests read them."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]

_VARIABLE = re.compile(r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?P<operator>:[-?])(?P<rest>[^}]*)\})")


class MissingVariableError(Exception):
    """A variable that the file demands is unset or empty."""


@dataclass(frozen=True)
class Instruction:
    """One line of a Dockerfile, its continuations joined."""

    word: str
    rest: str


def compose(environment: Mapping[str, str]) -> dict[str, Any]:
    """The Compose file as it is in this environment.

    Raises:
        MissingVariableError: it refuses to be used so.
    """
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return {name: _filled(part, environment) for name, part in document.items() if not name.startswith("x-")}


def variables() -> dict[str, str]:
    """The variables that the Compose file takes from `.env`, each with its operator and default or message."""
    text = (ROOT / "docker-compose.yml").read_text()
    return {found["name"]: found["operator"] + found["rest"] for found in _VARIABLE.finditer(text) if found["name"]}


def env_example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def seconds(duration: str) -> float:
    """A duration of the Compose specification; the file writes all of its own in seconds."""
    assert duration.endswith("s"), duration
    return float(duration.removesuffix("s"))


def stages() -> list[list[Instruction]]:
    """The stages of the Dockerfile, each from its FROM on."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    made: list[list[Instruction]] = []
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if not line:
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            made.append([])
        made[-1].append(Instruction(word, rest))
    return made


def assignments(stage: list[Instruction]) -> dict[str, str]:
    """What the ENV instructions of a stage set."""
    words = [word for each in stage if each.word == "ENV" for word in shlex.split(each.rest)]
    return dict(word.split("=", 1) for word in words)


def only(stage: list[Instruction], word: str) -> str:
    """What follows an instruction that a stage has once."""
    (found,) = [each.rest for each in stage if each.word == word]
    return found


def _filled(part: Any, environment: Mapping[str, str]) -> Any:
    match part:
        case dict():
            return {name: _filled(each, environment) for name, each in part.items()}
        case list():
            return [_filled(each, environment) for each in part]
        case str():
            return _VARIABLE.sub(lambda found: _value(found, environment), part)
        case _:
            return part


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found["escaped"]:
        return "$"
    value = environment.get(found["name"], "")
    if value or found["operator"] == ":-":
        return value or found["rest"]
    raise MissingVariableError(f"{found['name']}: {found['rest']}")
