"""Counts of the open jobs of all tenants.

Each count reads a partial index from one end to the other and no row of the table: a million waiting prompts take some
tenths of a second, a million ended ones nothing. Whoever asks does not ask often.
"""

from __future__ import annotations

import sqlalchemy as sa

from domain.census import Census, WaitingHead
from domain.sessions import PRIORITIES
from storage.sql.prepared import Prepared
from storage.sql.schema import OPEN, READY, RUNNING
from storage.sql.transactions import Tx

_open = Prepared(sa.text(f"SELECT count(*) FROM job WHERE {OPEN}"))  # noqa: S608 - constants
_running = Prepared(sa.text(f"SELECT count(*) FROM job WHERE {RUNNING}"))  # noqa: S608
_heads = Prepared(
    sa.text(
        "SELECT count(*), count(*) FILTER (WHERE ready_at <= :now), min(ready_at)"  # noqa: S608
        f" FROM job WHERE {READY}"
    )
)
_longest = Prepared(
    sa.text(
        "SELECT tenant, session_id, id, rank, ready_at FROM job"  # noqa: S608
        f" WHERE {READY} AND suspect = :suspect AND rank = :rank AND ready_at <= :now ORDER BY ready_at LIMIT :most"
    )
)

MOST_NAMED = 5


def census(tx: Tx) -> Census:
    """Count. See `Store.census`."""
    now = tx.now()
    ((heads, ready, oldest),) = _heads.all(tx, {"now": now})
    ((running,),) = _running.all(tx, {})
    ((opened,),) = _open.all(tx, {})
    return Census(
        running=running,
        ready=ready,
        later=heads - ready,
        behind=max(0, opened - running - heads),
        oldest_ready=oldest if ready else None,
        longest=_waiting_longest(tx, now) if ready else (),
        now=now,
    )


def _waiting_longest(tx: Tx, now: int) -> tuple[WaitingHead, ...]:
    """Find those that wait longest: the index has them in order within each rank."""
    found: list[WaitingHead] = []
    for suspect in (0, 1):
        for rank in range(PRIORITIES):
            scope = {"suspect": suspect, "rank": rank, "now": now, "most": MOST_NAMED}
            found += (WaitingHead(*row) for row in _longest.all(tx, scope))
    return tuple(sorted(found, key=lambda head: head.ready_at)[:MOST_NAMED])
