"""The durable keeper: each call of the store's contract as one transaction."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from domain.census import Census, Kind
from domain.clock import Millis
from domain.creation import repeat_fork
from domain.jobs import Finished, Job
from domain.messages import Message, Turn
from domain.prompts import Admission, Prompt
from domain.sessions import Creation, Session
from storage.base import Beat, Branch, Cancelling, Exchange, Head, JobQuery, Reconciled, SessionQuery
from storage.sql import admission, census, creating, ending, exchange, holders, queue, reading, upkeep
from storage.sql.admission import Arrival, Terms
from storage.sql.backlog import Backlog
from storage.sql.batches.store import SqlBatches
from storage.sql.gathering import Gathering
from storage.sql.transactions import RowRefused, Transactions
from storage.sql.versions import check_revision

MOST_AT_ONCE = 256
"""How many ends and claims one transaction takes: longer ones would make callers of the API wait behind them."""


class SqlStore:
    """Keeps durable sessions in SQLite or Postgres. See `storage.base.Store`."""

    def __init__(
        self,
        transactions: Transactions,
        *,
        default_model: str = "echo/echo",
        backlog: int = 1_000_000,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._transactions = transactions
        self._write = transactions.write
        self._read = transactions.read
        self._terms = Terms(default_model, Backlog(backlog))
        self._gathering = Gathering(transactions, self._terms)
        self._jitter = jitter
        self._patrol = upkeep.Patrol()
        #: Files and batches, in the same database.
        self.batches = SqlBatches(transactions, self._terms)

    def create_session(self, tenant: str, creation: Creation) -> tuple[Session, bool]:
        """See `Store.create_session`."""
        return self._write("create", lambda tx: creating.create_session(tx, tenant, creation))

    def session(self, tenant: str, session_id: str) -> Session:
        """See `Store.session`."""
        return self._read(lambda tx: queue.load_session(tx, tenant, session_id, lock=False))

    def sessions(self, tenant: str, query: SessionQuery) -> list[Session]:
        """See `Store.sessions`."""
        return self._read(lambda tx: reading.sessions(tx, tenant, query))

    def busy_sessions(self, tenant: str) -> dict[str, Job]:
        """See `Store.busy_sessions`."""
        return self._read(lambda tx: reading.busy_sessions(tx, tenant))

    def update_session(self, tenant: str, session_id: str, changes: Mapping[str, Any]) -> Session:
        """See `Store.update_session`."""
        return self._write("update", lambda tx: ending.update_session(tx, tenant, session_id, changes))

    def delete_session(self, tenant: str, session_id: str) -> tuple[Job, ...]:
        """See `Store.delete_session`."""
        return self._write("delete", lambda tx: ending.delete_session(tx, tenant, session_id))

    def branch(self, tenant: str, source_id: str, *, before: str | None) -> Branch:
        """See `Store.branch`."""
        return self._read(lambda tx: reading.branch(tx, tenant, source_id, before))

    def plant(self, tenant: str, creation: Creation, branch: Callable[[], Branch]) -> tuple[Session, bool]:
        """See `Store.plant`. What is planted is read before the transaction: committed turns do not change."""
        there = self._read(lambda tx: queue.find_session(tx, tenant, creation.session_id, lock=False))
        if there is not None:
            return repeat_fork(there, creation), False
        found = branch()
        return self._write("fork", lambda tx: creating.plant(tx, tenant, creation, found))

    def fork_session(
        self, tenant: str, source_id: str, creation: Creation, *, before: str | None
    ) -> tuple[Session, bool]:
        """See `Store.fork_session`."""
        return self.plant(tenant, creation, lambda: self.branch(tenant, source_id, before=before))

    def admit(self, tenant: str, session_id: str, prompt: Prompt) -> Admission:
        """See `Store.admit`."""
        arrival = Arrival(tenant, session_id, prompt)
        return self._write("admit", lambda tx: admission.admit(tx, arrival, self._terms))

    def admit_soon(self, tenant: str, session_id: str, prompt: Prompt) -> Future[Admission]:
        """See `Store.admit_soon`. What arrives while the database is busy is committed together."""
        return self._gathering.take(Arrival(tenant, session_id, prompt))

    def message(self, tenant: str, session_id: str, message_id: str) -> Message:
        """See `Store.message`."""
        return self._read(lambda tx: reading.message_by_id(tx, tenant, session_id, message_id))

    def messages(
        self, tenant: str, session_id: str, *, limit: int | None = None, before: tuple[int, str] | None = None
    ) -> list[Message]:
        """See `Store.messages`."""
        return self._read(lambda tx: reading.messages(tx, tenant, session_id, limit=limit, before=before))

    def answer(self, tenant: str, session_id: str, incarnation: int, seq: int) -> Message | None:
        """See `Store.answer`."""
        return self._read(lambda tx: reading.find_answer(tx, tenant, session_id, incarnation, seq))

    def history(self, job: Job) -> list[Turn]:
        """See `Store.history`."""
        return self._read(lambda tx: reading.history(tx, job))

    def job(self, tenant: str, job_id: str) -> Job:
        """See `Store.job`."""
        return self._read(lambda tx: reading.job_by_id(tx, tenant, job_id))

    def jobs(self, tenant: str, query: JobQuery) -> list[Job]:
        """See `Store.jobs`."""
        return self._read(lambda tx: reading.jobs(tx, tenant, query))

    def jobs_by_id(self, names: Collection[tuple[str, str]]) -> dict[str, Job]:
        """See `Store.jobs_by_id`."""
        return self._read(lambda tx: queue.load_jobs(tx, names))

    def head(self, job: Job) -> Job | None:
        """See `Store.head`."""
        return self._read(lambda tx: queue.find_head(tx, job))

    def cancel_job(self, tenant: str, job_id: str) -> Cancelling:
        """See `Store.cancel_job`."""
        return self._write("cancel", lambda tx: ending.cancel_job(tx, tenant, job_id))

    def abort_session(self, tenant: str, session_id: str) -> Cancelling:
        """See `Store.abort_session`."""
        return self._write("abort", lambda tx: ending.abort_session(tx, tenant, session_id))

    def retry_job(self, tenant: str, job_id: str, *, idempotency_key: str | None = None) -> Admission:
        """See `Store.retry_job`."""
        return self._write(
            "retry",
            lambda tx: admission.retry_job(tx, tenant, job_id, idempotency_key=idempotency_key, terms=self._terms),
        )

    def ready_heads(self, *, slots: int, suspects: int) -> list[Head]:
        """See `Store.ready_heads`."""
        return self._read(lambda tx: exchange.ready_heads(tx, slots, suspects))

    def next_ready(self) -> Millis | None:
        """See `Store.next_ready`."""
        return self._read(exchange.next_ready)

    def exchange(
        self, worker: str, finished: Sequence[Finished], *, slots: int, lease_ms: Millis, suspects: int = 1
    ) -> Exchange:
        """See `Store.exchange`. Of more than `MOST_AT_ONCE` ends, the rest is taken in transactions before."""
        early: list[Exchange] = []
        while len(finished) > MOST_AT_ONCE:
            early.append(self._exchange(worker, finished[:MOST_AT_ONCE], 0, lease_ms, suspects))
            finished = finished[MOST_AT_ONCE:]
        last = self._exchange(worker, finished, min(slots, MOST_AT_ONCE), lease_ms, suspects)
        return _joined([*early, last]) if early else last

    def _exchange(
        self, worker: str, finished: Sequence[Finished], slots: int, lease_ms: Millis, suspects: int
    ) -> Exchange:
        def once(ends: Sequence[Finished], free: int) -> Exchange:
            return self._write(
                "exchange",
                lambda tx: exchange.exchange(
                    tx, worker, ends, slots=free, lease_ms=lease_ms, suspects=suspects, jitter=self._jitter
                ),
            )

        try:
            return once(finished, slots)
        except RowRefused:
            if not finished:
                raise
        # One row poisons the transaction for all: find it by giving each its own.
        parts = []
        refused = []
        for each in finished:
            try:
                parts.append(once([each], 0))
            except RowRefused as error:
                refused.append((each, error))
        parts.append(once((), slots))
        return _joined(parts).evolve(refused=tuple(refused))

    def renew(self, worker: str, held: Collection[tuple[str, str, int]], *, lease_ms: Millis) -> Beat:
        """See `Store.renew`."""
        return self._write("renew", lambda tx: exchange.renew(tx, worker, held, lease_ms=lease_ms))

    def look(self, worker: str, held: Collection[tuple[str, str, int]]) -> Beat:
        """See `Store.look`."""
        return self._read(lambda tx: exchange.look(tx, worker, held))

    def hold(self, name: str, worker: str, *, lease_ms: Millis) -> bool:
        """See `Store.hold`."""
        return self._write("hold", lambda tx: upkeep.hold(tx, name, worker, lease_ms=lease_ms))

    def reconcile(self, *, limit: int) -> Reconciled:
        """See `Store.reconcile`. Each kind is a transaction of its own."""
        lost, behind = self._write("lapse", lambda tx: upkeep.lose_lapsed(tx, limit, self._jitter))
        expired = self._write("expire", lambda tx: upkeep.expire_overdue(tx, limit))
        if not self._patrol.has_learned:
            self._patrol.has_learned = self._write("learn", upkeep.learn)
        place = self._patrol.place
        stamped, self._patrol.place = self._write("stamp", lambda tx: upkeep.stamp_missing(tx, place, limit * 10))
        return Reconciled(tuple(lost), (*behind, *expired), stamped)

    def holders(self) -> frozenset[str]:
        """See `Store.holders`."""
        return self._read(holders.holders)

    def end_leases(self, worker: str) -> int:
        """See `Store.end_leases`."""
        return self._write("end_leases", lambda tx: holders.end_leases(tx, worker))

    def census(self) -> dict[Kind, Census]:
        """See `Store.census`."""
        return {"durable": self._read(census.census)}

    def prune(self, *, older_than_ms: Millis, limit: int) -> int:
        """See `Store.prune`."""
        return self._write("prune", lambda tx: upkeep.prune(tx, older_than_ms=older_than_ms, limit=limit))

    def ready(self) -> None:
        """See `Store.ready`."""
        self._read(check_revision)

    def close(self) -> None:
        """See `Store.close`."""
        self._transactions.close()


def _joined(parts: Sequence[Exchange]) -> Exchange:
    """Tell the exchanges of one call as one; only the last claims."""
    last = parts[-1]
    return last.evolve(
        taken=tuple(job for part in parts for job in part.taken),
        fenced=tuple(end for part in parts for end in part.fenced),
        ended=tuple(job for part in parts for job in part.ended),
        refused=tuple(end for part in parts for end in part.refused),
    )
