"""How promptq reaches Celery's broker, and the names that it uses there. No worker is needed for any of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from domain.settings import Settings

BELL_QUEUE = "promptq.bell"
"""The queue of the doorbell: its messages say "there is work", and nothing else."""

TASK_QUEUE = "promptq"
"""The queue of ordinary Celery tasks (maintenance)."""

BELL_KEY = "bell"
"""On a Redis broker: the key that is there while a ring is under way; it joins the rings of all processes into one."""

NO_BROKER = "memory://"
"""Where there is no broker a worker talks to itself: it finds its work by looking, and Flower sees nothing."""

_SCHEMES = {"unix": "redis+socket"}


def broker_url(settings: Settings) -> str | None:
    """Return the broker as Celery spells it, or None where there is none."""
    if settings.broker is None:
        return None
    scheme, colon, rest = settings.broker.partition(":")
    return _SCHEMES.get(scheme, scheme) + colon + rest


def is_redis(url: str) -> bool:
    """Tell whether a broker is a Redis."""
    return urlsplit(url).scheme in {"redis", "rediss", "redis+socket", "unix"}


def transport_options(settings: Settings) -> dict[str, Any]:
    """Return the options of a connection to the broker: every wait is bounded, every key has promptq's prefix."""
    url = broker_url(settings)
    if url is None or not is_redis(url):
        return {}
    return {
        "visibility_timeout": 60,
        "socket_timeout": 5,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "global_keyprefix": settings.redis_prefix,
    }
