"""What tests read from the documents: code blocks, and sections that are written by a program."""

import re
from pathlib import Path


def code(document: Path, language: str) -> str:
    """Return the only code block of a language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return str(block)


def section(document: Path, name: str) -> str:
    """Return what stands between `<!-- name -->` and `<!-- /name -->`, without the empty lines around it."""
    match = _pattern(name).search(document.read_text("utf-8"))
    assert match is not None, f"{document} has no section {name}"
    return match[2].strip("\n")


def replace_section(document: Path, name: str, text: str) -> None:
    """Write a section anew."""
    before = document.read_text("utf-8")
    document.write_text(_pattern(name).sub(lambda match: f"{match[1]}\n\n{text}\n\n{match[3]}", before), "utf-8")


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- {name} -->)(.*?)(<!-- /{name} -->)", re.DOTALL)
