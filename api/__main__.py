"""Prints the API's OpenAPI document: `python -m api > docs/openapi.json`."""

from __future__ import annotations

import json
import sys
from typing import NoReturn

from api.main import create_app
from domain.settings import Settings


def _none() -> NoReturn:
    raise AssertionError("an application that only describes itself is never started")


if __name__ == "__main__":
    application = create_app(Settings(), store=_none, bell=_none)
    json.dump(application.openapi(), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
