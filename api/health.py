"""What the server is, whether it lives and can work, and its own description."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import redis
from fastapi import APIRouter, Request, Response

from api.calls import Caller, Where
from api.means import Means
from api.replies import reply
from domain.errors import StoreUnavailable
from domain.shapes import VERSION

log = logging.getLogger(__name__)
router = APIRouter(tags=["health"])

STORE_S = 3.0
REDIS_S = 1.0
"""How long either may take to answer before it counts as away."""


@router.get("/", response_model=dict[str, str])
async def root(request: Request) -> Response:
    """Say what this is, and where it is described."""
    return reply({"name": "promptq", "version": VERSION, "doc": "/doc"})


@router.get("/healthz", response_model=dict[str, str])
async def healthz() -> Response:
    """Answer, if the process lives. Asks nobody."""
    return reply({"status": "ok", "version": VERSION})


@router.get("/readyz", response_model=dict[str, Any])
async def readyz(call: Caller, where: Where) -> Response:
    """Answer 200 if prompts can be kept; `degraded` says what is away besides. 503 if SQL is."""
    _, redis_answers = await asyncio.gather(_ask_store(call.means), _redis_answers(call.means))
    return reply({"status": "ok", "degraded": [] if redis_answers else ["redis"]})


@router.get("/doc", response_model=dict[str, Any])
async def doc(request: Request) -> Response:
    """Return this API's OpenAPI document."""
    return reply(request.app.openapi())


async def _ask_store(means: Means) -> None:
    try:
        async with asyncio.timeout(STORE_S):
            await asyncio.to_thread(means.store.ready)
    except TimeoutError:
        raise StoreUnavailable(f"the database has not answered for {STORE_S:.0f} s") from None


async def _redis_answers(means: Means) -> bool:
    if means.redis is None:
        return False
    try:
        async with asyncio.timeout(REDIS_S):
            await means.redis.ping()
    except (redis.RedisError, OSError, TimeoutError):
        return False
    return True
