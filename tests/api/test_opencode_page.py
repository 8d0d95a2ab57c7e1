"""`docs/opencode.md` says of every request field what is done with it, and is true of what is refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from domain.requests.fields import Body
from domain.requests.prompts import PromptRequest
from domain.requests.sessions import CreateSession, ForkSession, UpdateSession

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "opencode.md").read_text("utf-8")
DOCUMENT = json.loads((ROOT / "tests" / "data" / "opencode-sessions.json").read_text("utf-8"))
EVERYWHERE = {"directory", "workspace"}


def said_of(heading: str) -> dict[str, str]:
    """What the section of a route says of each field, by its name."""
    section = re.split(rf"^### `{re.escape(heading)}`$", PAGE, flags=re.MULTILINE)[1]
    section = re.split(r"^##", section, flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", section, flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for path in DOCUMENT["paths"] for method in DOCUMENT["paths"][path]]
)
def test_every_field_of_opencodes_is_spoken_of(method: str, path: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    said = said_of(f"{method.upper()} {path}")
    if (method, path) == ("post", "/session/{sessionID}/message"):
        said = said_of("POST /session/{sessionID}/prompt_async")
    query = {each["name"] for each in operation["parameters"] if each["in"] == "query"} - EVERYWHERE
    body: dict[str, Any] = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    fields = set(body.get("schema", {}).get("properties", {}))
    assert query | fields <= set(said), path
    assert set(said.values()) <= {"honoured", "stored", "refused", "extension"}


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("POST /session", CreateSession),
        ("PATCH /session/{sessionID}", UpdateSession),
        ("POST /session/{sessionID}/fork", ForkSession),
        ("POST /session/{sessionID}/prompt_async", PromptRequest),
    ],
)
def test_every_field_that_is_taken_is_spoken_of_and_no_other(heading: str, model: type[Body]) -> None:
    parts = {"text", "file", "agent", "subtask"}
    assert set(said_of(heading)) - parts == set(model.model_fields) - parts
