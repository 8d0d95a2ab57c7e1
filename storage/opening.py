"""How a process opens the store that its settings name: both keepers, as one."""

from __future__ import annotations

from domain.clock import millis
from domain.settings import Settings
from storage import redis_clients
from storage.base import Store
from storage.batches import Batches
from storage.ephemeral.store import EphemeralStore
from storage.routing import RoutingStore
from storage.sql import open_store
from storage.sql.store import SqlStore

ANSWER_S = 2.0
"""The longest that ephemeral work waits for one answer of Redis: durable work may be waiting behind it."""


def open_stores(settings: Settings) -> Store:
    """Open the store, durable and (where there is a Redis) ephemeral. Call it after a fork; nothing is connected yet.

    Raises:
        InvalidRequest: the URL names a database that promptq does not speak.
    """
    return RoutingStore(open_store(settings), _ephemeral(settings))


def _ephemeral(settings: Settings) -> EphemeralStore | None:
    if settings.redis is None:
        return None
    client = redis_clients.sync_client(
        settings.redis, connections=64, connect_timeout_s=ANSWER_S, socket_timeout_s=ANSWER_S
    )
    return EphemeralStore(
        client,
        prefix=settings.redis_prefix,
        default_model=settings.model,
        default_ttl_ms=millis(settings.ephemeral_ttl),
        backlog=settings.backlog,
    )


def batches_of(store: Store) -> Batches | None:
    """Return the files and batches that a store keeps beside its sessions; None if it keeps none."""
    durable = store.durable if isinstance(store, RoutingStore) else store
    return durable.batches if isinstance(durable, SqlStore) else None
