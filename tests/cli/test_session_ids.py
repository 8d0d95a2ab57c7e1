"""The computed session ID: the same by the command, by the document's snippets and by its test vectors."""

import json
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from domain.ids import canonical_pairs, session_id_from
from tests.support import documents

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs/session-ids.md"
VECTORS: list[dict[str, Any]] = json.loads((ROOT / "tests/data/session-ids.json").read_text("utf-8"))

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector["title"].replace(" ", "-") for vector in VECTORS])


def typeable(vector: dict[str, Any]) -> bool:
    """Whether the shell snippet can take it: no `=` in keys, and in NFC already."""
    texts = [vector["namespace"], *vector["pairs"], *vector["pairs"].values()]
    return all(unicodedata.is_normalized("NFC", text) for text in texts) and not any(
        "=" in key for key in vector["pairs"]
    )


def words(vector: dict[str, Any]) -> list[str]:
    return [vector["namespace"], *(f"{key}={value}" for key, value in vector["pairs"].items())]


def table() -> str:
    rows = ["| | namespace and pairs | canonical text | ID |", "|---|---|---|---|"]
    for vector in VECTORS:
        given = " ".join([_code(vector["namespace"]), *(f"{_code(k)}: {_code(v)}" for k, v in vector["pairs"].items())])
        rows.append(f"| {vector['title']} | {given} | {_code(vector['canonical'])} | `{vector['id']}` |")
    return "\n".join(rows)


def _code(text: str) -> str:
    """Write a text as JSON; what is not in NFC, and what is invisible, as escapes."""
    return f"`{json.dumps(text, ensure_ascii=not unicodedata.is_normalized('NFC', text))}`"


@each_vector
def test_a_vector_holds_in_the_library(vector: dict[str, Any]) -> None:
    assert canonical_pairs(vector["namespace"], vector["pairs"]) == vector["canonical"]
    assert session_id_from(vector["namespace"], vector["pairs"]) == vector["id"]
    assert session_id_from(vector["namespace"], vector["pairs"], ephemeral=True) == vector["ephemeral"]


def test_the_vectors_hold_in_the_documents_python() -> None:
    scope: dict[str, Any] = {}
    exec(documents.code(DOCUMENT, "python"), scope)
    session_id = scope["session_id"]
    for vector in VECTORS:
        assert session_id(vector["namespace"], vector["pairs"]) == vector["id"]
        assert session_id(vector["namespace"], vector["pairs"], "ses_tmp_") == vector["ephemeral"]


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_the_vectors_hold_in_the_documents_javascript(tmp_path: Path) -> None:
    (tmp_path / "session-id.mjs").write_text(documents.code(DOCUMENT, "javascript"), "utf-8")
    (tmp_path / "all.mjs").write_text(
        'import { sessionID } from "./session-id.mjs";\n'
        'import { readFileSync } from "node:fs";\n'
        "const vectors = JSON.parse(readFileSync(0, 'utf8'));\n"
        "console.log(JSON.stringify(vectors.map((v) => sessionID(v.namespace, v.pairs))));\n"
    )
    answer = subprocess.run(
        ["node", tmp_path / "all.mjs"],
        input=json.dumps(VECTORS),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert json.loads(answer.stdout) == [vector["id"] for vector in VECTORS]


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_the_vectors_hold_in_the_documents_shell(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None or shutil.which("sha1sum") is None:
        pytest.skip(f"there is no {shell} or no sha1sum here")
    script = tmp_path / "session-id.sh"
    script.write_text(documents.code(DOCUMENT, "sh") + '\nsession_id "$@"\n', "utf-8")
    for vector in filter(typeable, VECTORS):
        answer = subprocess.run([shell, script, *words(vector)], capture_output=True, text=True, timeout=30, check=True)
        assert answer.stdout == vector["id"] + "\n", vector["title"]


def test_the_vectors_hold_in_the_command() -> None:
    for vector in VECTORS[:4]:
        assert command(*words(vector)).stdout == vector["id"] + "\n"
        assert command("--ephemeral", *words(vector)).stdout == vector["ephemeral"] + "\n"


def test_the_command_tells_the_canonical_text_too() -> None:
    answer = json.loads(command("reviewer", "repository=harbor", "branch=main", "--json").stdout)
    assert answer == {"id": VECTORS[0]["id"], "canonical": "reviewer\nbranch=main\nrepository=harbor"}


@pytest.mark.parametrize(
    ("pair", "complaint"),
    [
        ("harbor", "is not KEY=VALUE"),
        ("=harbor", "is not KEY=VALUE"),
        ("branch=other", "is given twice"),
        (b"name=\xff", "must be UTF-8 text"),
    ],
)
def test_the_command_refuses_what_is_no_pair(pair: str | bytes, complaint: str) -> None:
    answer = command("reviewer", "branch=main", pair, check=False)
    assert answer.returncode == 2
    assert complaint in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert answer.stdout == ""


def test_keys_that_differ_only_in_normalisation_are_the_same_key() -> None:
    assert "is given twice" in command("x", "caf\u00e9=1", "cafe\u0301=2", check=False).stderr


def test_the_documents_table_is_that_of_the_vectors() -> None:
    assert documents.section(DOCUMENT, "vectors") == table(), "python -m tests.cli.test_session_ids writes it"


def command(*arguments: str | bytes, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "session", "id", *arguments],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=30,
        check=check,
    )


if __name__ == "__main__":
    documents.replace_section(DOCUMENT, "vectors", table())
