"""`docs/opencode.md` has a verdict on every operation of OpenCode's document, and the server keeps to it.

`python -m tests.api.opencode.test_verdicts` writes the table anew.
"""

from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Match, Route

from api.main import create_app
from api.opencode import absent, empty
from domain.settings import Settings
from tests.api.opencode.documented import operations
from tests.support import documents

PAGE = Path(__file__).parents[3] / "docs" / "opencode.md"

EMPTY = {("GET", each.path): each.reason for each in empty.ALL}
ABSENT = {(method, each.path): each.reason for each in absent.ALL for method in each.methods}


def routes() -> list[Route | APIRoute]:
    """What the server answers to, in the order in which it is asked."""

    def none() -> None:
        raise AssertionError("nothing is started")

    app = create_app(Settings(), store=none, bell=none)  # type: ignore[arg-type]
    return [route for route in app.router.routes if isinstance(route, Route | APIRoute)]


def is_answered(method: str, path: str) -> bool:
    """Whether a route takes it."""
    asked = path.replace("{sessionID}", "ses_a").replace("*", "x").replace("{", "").replace("}", "")
    scope = {"type": "http", "method": method, "path": asked, "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in routes())


def verdict(method: str, path: str) -> str:
    """Say what becomes of an operation."""
    if (method, path) in ABSENT:
        return f"not offered (501): {ABSENT[method, path]}"
    if (method, path) in EMPTY:
        return f"served as empty: {EMPTY[method, path]}"
    return "served"


def table() -> str:
    """Write the table."""
    lines = ["| operation | verdict |", "|---|---|"]
    lines += [f"| `{method} {path}` | {verdict(method, path)} |" for method, path in sorted(operations(), key=_place)]
    return "\n".join(lines)


def _place(operation: tuple[str, str]) -> tuple[str, str]:
    method, path = operation
    return path, method


def test_the_page_has_a_verdict_on_every_operation() -> None:
    assert documents.section(PAGE, "verdicts") == table(), "python -m tests.api.opencode.test_verdicts"


@pytest.mark.parametrize(("method", "path"), list(operations()))
def test_every_operation_has_a_route(method: str, path: str) -> None:
    assert is_answered(method, path)


def test_nothing_is_both_empty_and_absent_or_unknown_to_opencode() -> None:
    assert not EMPTY.keys() & ABSENT.keys()
    assert EMPTY.keys() | ABSENT.keys() <= set(operations())


if __name__ == "__main__":
    documents.replace_section(PAGE, "verdicts", table())
