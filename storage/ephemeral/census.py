"""Counts of the open ephemeral jobs of all tenants, from the indexes alone."""

from __future__ import annotations

from typing import Any

from domain.census import Census, WaitingHead
from domain.sessions import PRIORITIES
from storage.ephemeral.keys import named
from storage.ephemeral.snapshots import Snapshots

MOST_NAMED = 5

REMEMBER_MS = 8 * 86_400_000
"""How long a tenant is known after its latest prompt: longer than any ephemeral prompt can be open."""


def remember_tenant(snapshots: Snapshots, tenant: str) -> None:
    """Note that a tenant has ephemeral prompts, so that they are counted."""
    with snapshots.client.pipeline(transaction=False) as pipeline:
        pipeline.sadd(snapshots.keys.tenants, tenant)
        pipeline.pexpire(snapshots.keys.tenants, REMEMBER_MS)
        pipeline.execute()


def census(snapshots: Snapshots) -> Census:
    """Count. See `Store.census`."""
    keys, now = snapshots.keys, snapshots.now()
    tenants = sorted(tenant.decode() for tenant in snapshots.client.smembers(keys.tenants))
    ranks = [(keys.ready(suspect, rank), rank) for suspect in (False, True) for rank in range(PRIORITIES)]
    with snapshots.client.pipeline(transaction=False) as pipeline:
        pipeline.zcard(keys.running)
        for tenant in tenants:
            pipeline.zcard(keys.open_of(tenant))
        for key, _ in ranks:
            pipeline.zcard(key)
            pipeline.zcount(key, "-inf", now)
            pipeline.zrangebyscore(key, "-inf", now, 0, MOST_NAMED, withscores=True)
        running, *answers = pipeline.execute()
    opened, of_ranks = sum(answers[: len(tenants)]), answers[len(tenants) :]
    heads, ready = sum(of_ranks[::3]), sum(of_ranks[1::3])
    waiting = [_head(entry, rank) for (_, rank), found in zip(ranks, of_ranks[2::3], strict=True) for entry in found]
    waiting.sort(key=lambda head: head.ready_at)
    return Census(
        running=running,
        ready=ready,
        later=heads - ready,
        behind=max(0, opened - running - heads),
        oldest_ready=waiting[0].ready_at if waiting else None,
        longest=tuple(waiting[:MOST_NAMED]),
        now=now,
    )


def _head(entry: tuple[bytes, Any], rank: int) -> WaitingHead:
    tenant, session_id, job_id, _ = named(entry[0].decode())
    return WaitingHead(tenant, session_id, job_id, rank, int(entry[1]))
