"""What most people put before Celery: a route that hands what is posted to `apply_async`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.plain.celery_app import noop


class Posted(BaseModel):
    """The same body that promptq is sent."""

    parts: list[dict[str, Any]]


def make_app() -> FastAPI:
    app = FastAPI()

    @app.post("/session/{session}/prompt")
    def post(session: str, posted: Posted) -> dict[str, str]:
        return {"id": noop.apply_async((posted.parts[0]["text"],)).id}

    return app
