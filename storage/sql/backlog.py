"""How many open jobs a tenant may have."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import sqlalchemy as sa

from domain.errors import BacklogFull
from storage.sql.schema import OPEN, job
from storage.sql.transactions import Tx

BACKLOG_RETRY_AFTER_S = 10
EXACT_BACKLOG = 1_000
"""Up to this limit open jobs are counted for each group of prompts; above it, once a second."""

_count_open = sa.select(sa.func.count()).select_from(
    sa.select(sa.literal_column("1").label("one"))
    .select_from(job)
    .where(job.c.tenant == sa.bindparam("tenant"), sa.text(OPEN))
    .limit(sa.bindparam("most"))
    .subquery()
)


@dataclass
class Backlog:
    """Knows, nearly, how many open jobs each tenant has: to count a million each time would cost too much."""

    limit: int

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[str, tuple[float, int]] = {}

    def check(self, tx: Tx, tenant: str, more: int = 0) -> None:
        """Refuse a prompt beyond the limit; `more` are taken in this transaction already, and not yet written.

        Raises:
            BacklogFull: the tenant has too many open jobs.
        """
        with self._lock:
            counted_at, count = self._counted.get(tenant, (float("-inf"), 0))
        age = time.monotonic() - counted_at
        # A count that is far from the limit stays good for longer: thousands a second cannot reach it meanwhile.
        if self.limit <= EXACT_BACKLOG or age > (1 if count > self.limit // 2 else 10):
            count = more + tx.execute(_count_open, {"tenant": tenant, "most": self.limit}).scalar_one()
            counted_at = time.monotonic()
        with self._lock:
            self._counted[tenant] = (counted_at, count + 1)
        if count >= self.limit:
            raise BacklogFull(self.limit, BACKLOG_RETRY_AFTER_S)
