"""Who holds leases, and the end of those that a worker which is gone has left behind."""

from __future__ import annotations

import sqlalchemy as sa

from storage.sql.prepared import Prepared
from storage.sql.schema import RUNNING, job
from storage.sql.transactions import Tx

_holders = Prepared(sa.text(f"SELECT DISTINCT worker FROM job WHERE {RUNNING}"))  # noqa: S608 - constants
_held = Prepared(sa.text(f"SELECT tenant, id FROM job WHERE {RUNNING} AND worker = :worker_is"))  # noqa: S608
_end = (
    job.update()
    .where(sa.text(RUNNING), job.c.tenant == sa.bindparam("of_tenant"), job.c.id == sa.bindparam("of_job"))
    .where(job.c.worker == sa.bindparam("worker_is"), job.c.lease_until > sa.bindparam("now"))
    .values(lease_until=sa.bindparam("now"))
)


def holders(tx: Tx) -> frozenset[str]:
    """Return the workers that hold leases. See `Store.holders`."""
    return frozenset(row[0] for row in _holders.all(tx, {}))


def end_leases(tx: Tx, worker: str) -> int:
    """Have a worker's leases run out now. See `Store.end_leases`."""
    held = sorted((tenant, job_id) for tenant, job_id in _held.all(tx, {"worker_is": worker}))
    now = tx.now()
    if held:  # in the order in which all lock
        rows = [{"of_tenant": tenant, "of_job": job_id, "worker_is": worker, "now": now} for tenant, job_id in held]
        tx.execute(_end, rows)
    return len(held)
