"""The one factory of Redis clients: every wait is bounded, and no command is sent twice.

Left alone, redis-py repeats commands after a connection error, so that a write may happen twice, and its pools raise
when they are empty. URLs are `redis://`, `rediss://` or `unix://`; clients give and take bytes.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

CONNECT_TIMEOUT_S = 3.0
SOCKET_TIMEOUT_S = 5.0
"""How long one answer may take. A blocking command (`BLPOP`, `XREAD BLOCK`) must wait for less."""

HEALTH_CHECK_S = 25
"""A connection idle for longer is pinged before it is used again."""


def sync_client(
    url: str,
    *,
    connections: int = 32,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    socket_timeout_s: float = SOCKET_TIMEOUT_S,
) -> redis.Redis:
    """Make a client for threads. Nothing is connected yet.

    Args:
        url: where the Redis is.
        connections: at most this many; whoever needs one more waits for it as long as for an answer.
        connect_timeout_s: the longest a connection may take to be made.
        socket_timeout_s: the longest one answer may take.
    """
    pool = redis.BlockingConnectionPool.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        **_limits(connections, connect_timeout_s, socket_timeout_s),
    )
    return redis.Redis.from_pool(pool)


def async_client(
    url: str,
    *,
    connections: int = 32,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    socket_timeout_s: float = SOCKET_TIMEOUT_S,
) -> redis.asyncio.Redis:
    """Make a client for one event loop; the arguments are those of `sync_client`. Close it with `aclose`."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        retry=AsyncRetry(NoBackoff(), 0),
        **_limits(connections, connect_timeout_s, socket_timeout_s),
    )
    return redis.asyncio.Redis.from_pool(pool)


def name(prefix: str, *words: str) -> str:
    """Name a key or channel: the prefix that all of promptq's share in this Redis, then words joined by colons."""
    return prefix + ":".join(words)


def _limits(connections: int, connect_timeout_s: float, socket_timeout_s: float) -> dict[str, Any]:
    return {
        "max_connections": connections,
        "timeout": socket_timeout_s,
        "socket_connect_timeout": connect_timeout_s,
        "socket_timeout": socket_timeout_s,
        "health_check_interval": HEALTH_CHECK_S,
        # A question that only Redis's own cloud understands; others answer it with an error at every connection.
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
