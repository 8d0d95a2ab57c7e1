"""OpenCode's own document, and answers held against it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
from jsonschema import Draft202012Validator

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "data" / "opencode-openapi.json").read_text("utf-8"))

VERBS = ("get", "post", "put", "patch", "delete")


def operations() -> Iterator[tuple[str, str]]:
    """All (method, path) of the document, the method in capitals."""
    for path, item in DOCUMENT["paths"].items():
        for verb in VERBS:
            if verb in item:
                yield verb.upper(), path


def validate(method: str, path: str, answer: httpx2.Response) -> Any:
    """Hold an answer against what the document declares for its status; return its JSON."""
    declared = DOCUMENT["paths"][path][method.lower()]["responses"].get(str(answer.status_code))
    assert declared is not None, f"{method} {path} declares no {answer.status_code}: {answer.text[:500]}"
    if "content" not in declared:
        assert answer.content == b""
        return None
    schema = {**declared["content"]["application/json"]["schema"], "components": DOCUMENT["components"]}
    Draft202012Validator(schema).validate(answer.json())
    return answer.json()
