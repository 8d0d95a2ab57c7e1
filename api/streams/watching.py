"""Says in Redis who is watched, so that events are made and kept; and reads there what a client has missed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Sequence

import redis

from api.streams.clients import Client
from api.streams.hub import Hub
from domain.sessions import Session
from storage import redis_clients
from storage.notices.history import Histories
from storage.notices.names import Names
from storage.notices.publishing import KEPT_MS
from storage.notices.wire import Heard

log = logging.getLogger(__name__)

AGAIN_S = 10.0
"""How often it is said again. After a FLUSHALL nobody counts as watched for so long at most."""

WHOLE_MS = 30_000
"""How long a tenant counts as watched without being told so again."""

PATIENCE_S = 2.0
"""How long a new client waits for Redis before it is told that it is connected."""

CONNECTIONS = 4
"""To Redis, for all clients together."""


class Watch:
    """What this process watches. For one event loop. Nothing here raises for trouble with Redis."""

    def __init__(self, redis_url: str | None, prefix: str, hub: Hub) -> None:
        """Make one; nothing is connected yet. Without a Redis it does nothing."""
        self._hub = hub
        self._names = Names(prefix)
        self._client = redis_clients.async_client(redis_url, connections=CONNECTIONS) if redis_url is not None else None
        self._histories = Histories(self._client, self._names)

    async def begin(self, client: Client, session: Session | None = None) -> str:
        """Have events published that a client wants, and kept if it follows a session; wait for it, but not for long.

        Returns:
            The place of the latest bundle in the session's history; nothing if there is no such, or no Redis.
        """
        if self._client is None:
            return ""
        with contextlib.suppress(redis.RedisError, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._say([client])
                await self._hub.listening.wait()
                return await self._histories.open(session) if session is not None else ""
        return ""

    async def since(self, session: Session, place: str) -> Sequence[Heard] | None:
        """Return the bundles of a session from a place on, that one first; None if it is gone, or Redis is away."""
        with contextlib.suppress(redis.RedisError, OSError):
            return await self._histories.since(session, place) if self._client is not None else None
        return None

    async def all(self, session: Session) -> Sequence[Heard]:
        """Return the bundles of a session that are kept; none if Redis is away."""
        with contextlib.suppress(redis.RedisError, OSError):
            return await self._histories.all(session) if self._client is not None else ()
        return ()

    async def run(self) -> None:
        """Say again and again who is watched, for as long as the process lives."""
        regained = self._hub.regained
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await regained.wait()
            regained.clear()
            with contextlib.suppress(redis.RedisError, OSError):
                await self._say(self._hub.clients())

    async def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _say(self, clients: Iterable[Client]) -> None:
        """Say what these clients watch. All of it goes by itself if it is not said again."""
        if self._client is None:
            return
        whole: set[str] = set()
        sessions: set[tuple[str, str]] = set()
        for client in clients:
            if client.session_id is None:
                whole.add(client.tenant)
            else:
                sessions.add((client.tenant, client.session_id))
        if not whole and not sessions:
            return
        async with self._client.pipeline(transaction=False) as pipeline:
            for tenant in whole:
                pipeline.set(self._names.watched_whole(tenant), "", px=WHOLE_MS)
            for session in sessions:
                pipeline.set(self._names.watched_session(*session), "", px=KEPT_MS)
            for tenant in whole | {tenant for tenant, _ in sessions}:
                pipeline.set(self._names.watched(tenant), "", px=KEPT_MS)
            await pipeline.execute()
