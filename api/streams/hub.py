"""Where a process's clients of events meet what the process hears."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from enum import Enum

import redis

from api.streams.clients import Client
from api.streams.rendering import Rendered, encoded, framed, wrap
from domain import events
from storage import redis_clients
from storage.notices.names import Names
from storage.notices.publishing import KEPT_MS
from storage.notices.wire import Heard, decode, split

log = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
"""Between two heartbeats, as OpenCode's."""

WATCH_S = 30.0
"""How long a tenant counts as watched without being told so again."""

CONNECTIONS = 4
"""To Redis, for all clients together."""

PATIENCE_S = 2.0
"""How long a new client waits for Redis before it is told that it is connected."""


class Kind(Enum):
    """How clients read events."""

    PLAIN = "plain"
    WRAPPED = "wrapped"
    NAMED = "named"


class Hub:
    """All clients of one process. For its event loop."""

    def __init__(self, redis_url: str | None, prefix: str) -> None:
        """Make one; nothing is connected yet."""
        self._redis = redis_clients.async_client(redis_url, connections=CONNECTIONS) if redis_url is not None else None
        self._names = Names(prefix)
        #: Set while events would be heard.
        self._listening = asyncio.Event()
        self._plain: dict[str, set[Client]] = {}
        self._wrapped: dict[str, set[Client]] = {}
        self._sessions: dict[tuple[str, str], set[Client]] = {}

    def __len__(self) -> int:
        return sum(len(clients) for group in self._groups for clients in group.values())

    @property
    def _groups(self) -> tuple[dict[str, set[Client]], dict[str, set[Client]], dict[tuple[str, str], set[Client]]]:
        return self._plain, self._wrapped, self._sessions

    def join(self, client: Client, kind: Kind) -> Callable[[Client], None]:
        """Let a client hear what comes from now on. Returns what lets it leave."""
        if kind is Kind.NAMED:
            return _enter(self._sessions, (client.tenant, client.session_id or ""), client)
        return _enter(self._plain if kind is Kind.PLAIN else self._wrapped, client.tenant, client)

    async def prepare(self, client: Client) -> None:
        """Have events published that a client that has joined wants; wait for it, but not for long."""
        if self._redis is None:
            return
        with contextlib.suppress(redis.RedisError, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._watch([client])
                await self._listening.wait()

    def hear(self, tenant: str, message: bytes) -> None:
        """Give what was published to those who want it."""
        if tenant not in self._plain and tenant not in self._wrapped and not self._follows(tenant):
            return
        place, data = split(message)
        try:
            heard = decode(tenant, data, place)
        except ValueError:
            log.warning("events_not_understood")
            return
        self.give(heard)

    def give(self, heard: Heard) -> None:
        """Give a bundle to those who want it."""
        rendered = Rendered(heard)
        for client in self._plain.get(heard.tenant, ()):
            client.put(rendered.plain)
        for client in self._wrapped.get(heard.tenant, ()):
            client.put(rendered.wrapped)
        for client in self._sessions.get((heard.tenant, heard.session_id), ()):
            client.put(rendered.named)

    def changed(self, listening: bool) -> None:
        """Note whether events would be heard."""
        if listening:
            self._listening.set()
        else:
            self._listening.clear()

    async def run(self) -> None:
        """Keep streams alive, and say who is watched, for as long as the process lives."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            line = encoded(events.heartbeat())
            plain, wrapped = framed(line), wrap({}, [line])
            for group in self._groups:
                for clients in list(group.values()):
                    for client in list(clients):
                        client.put(wrapped if group is self._wrapped else plain)
            with contextlib.suppress(redis.RedisError, OSError, TimeoutError):
                await self._watch(
                    [client for group in self._groups for clients in group.values() for client in clients]
                )

    async def close(self) -> None:
        """End all streams."""
        for group in self._groups:
            for clients in list(group.values()):
                for client in list(clients):
                    client.end()
        if self._redis is not None:
            await self._redis.aclose()

    def _follows(self, tenant: str) -> bool:
        return any(of == tenant for of, _ in self._sessions)

    async def _watch(self, clients: list[Client]) -> None:
        """Say in Redis what these clients watch. All of it goes by itself if it is not said again."""
        if self._redis is None or not clients:
            return
        tenants = {client.tenant for client in clients}
        whole = {client.tenant for client in clients if client.session_id is None}
        sessions = {(client.tenant, client.session_id) for client in clients if client.session_id is not None}
        async with self._redis.pipeline(transaction=False) as pipeline:
            for tenant in tenants:
                pipeline.set(self._names.watched(tenant), "", px=KEPT_MS)
            for tenant in whole:
                pipeline.set(self._names.watched_whole(tenant), "", px=int(WATCH_S * 1000))
            for session in sessions:
                pipeline.set(self._names.watched_session(*session), "", px=KEPT_MS)
            await pipeline.execute()


def _enter(group: dict, key: object, client: Client) -> Callable[[Client], None]:  # type: ignore[type-arg]
    group.setdefault(key, set()).add(client)

    def leave(client: Client) -> None:
        clients = group.get(key)
        if clients is not None:
            clients.discard(client)
            if not clients:
                del group[key]

    return leave
