"""The committed OpenAPI document is what the API says of itself, and is true of the requests that it describes."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.api.conftest import Apis, a_prompt

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def described(apis: Apis) -> Any:
    return apis.start().get("/doc").json()


def test_the_committed_document_has_not_drifted(memory_apis: Apis) -> None:
    document = described(memory_apis)
    committed = json.loads(COMMITTED.read_text("utf-8"))
    assert document == committed, "write it anew with: python -m api > docs/openapi.json"


def test_every_reference_in_the_document_leads_somewhere(memory_apis: Apis) -> None:
    document = described(memory_apis)
    references: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            references.extend([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(document)
    assert references
    for reference in references:
        prefix, _, name = reference.rpartition("/")
        assert prefix == "#/components/schemas"
        assert name in document["components"]["schemas"], reference
    assert "422" not in json.dumps(document)


def test_the_document_allows_what_the_server_takes(memory_apis: Apis) -> None:
    document = described(memory_apis)
    body = document["paths"]["/session/{sessionID}/prompt_async"]["post"]["requestBody"]
    schema = {**body["content"]["application/json"]["schema"], "components": document["components"]}
    validator = Draft202012Validator(schema)
    validator.validate(a_prompt(messageID="msg_1", priority=9, whenBusy="interrupt", metadata={"x": None}))
    refused: list[Any] = [{}, a_prompt(priority=10), a_prompt(unknown=1), a_prompt(system=None), {"parts": []}]
    for wrong in refused:
        assert not validator.is_valid(wrong), wrong
