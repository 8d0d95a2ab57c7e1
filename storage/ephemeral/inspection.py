"""What is asked of a Redis before ephemeral sessions are put into it."""

from __future__ import annotations

import logging
from typing import Any

import redis

from domain.errors import StoreUnavailable

log = logging.getLogger(__name__)


def inspect(client: Any) -> None:
    """Refuse a Redis that evicts keys, and warn of one that writes them to disk.

    Under `allkeys-lru` an idle queue was emptied without a word; the `volatile` policies take just the keys that have
    an expiry, which all of a session's have. One that does not say how it is set (some hosted ones) is believed.

    Raises:
        StoreUnavailable: it evicts.
    """
    policy = _asked(client, "maxmemory-policy")
    if policy not in {None, "noeviction"}:
        message = (
            f"the Redis evicts keys (maxmemory-policy {policy}): ephemeral sessions are kept only in one that runs "
            "noeviction"
        )
        raise StoreUnavailable(message, retry_after_s=60)
    if _asked(client, "appendonly") == "yes" or _asked(client, "save"):
        log.warning("redis_persists: ephemeral sessions may reach its disk; run it with --save '' --appendonly no")


def _asked(client: Any, name: str) -> str | None:
    try:
        found = client.config_get(name)
    except redis.ResponseError:
        return None
    return {_text(key): _text(value) for key, value in found.items()}.get(name)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
