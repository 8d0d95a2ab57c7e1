"""Both keepers as one store: a session's name says which of them keeps it, and so does a job's.

Durable work never waits for the ephemeral keeper: while Redis does not answer, ephemeral calls fail, and the worker's
calls, which span both, leave the ephemeral part for later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from domain.census import Census, Kind
from domain.clock import Millis
from domain.errors import InvalidRequest, StoreUnavailable
from domain.ids import is_ephemeral, is_ephemeral_job
from domain.jobs import Claimed, Finished, Job
from domain.messages import Message, Turn
from domain.prompts import Admission, Prompt
from domain.sessions import Creation, Session
from storage.base import (
    Beat,
    Branch,
    Cancelling,
    Exchange,
    Head,
    JobQuery,
    Reconciled,
    SessionQuery,
    Store,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE_S = 3.0
LONGEST_PAUSE_S = 30.0
"""After a call that Redis did not answer, a worker leaves the ephemeral keeper alone for so long, and twice as long
after the next: durable work must not wait for one time-out after the other."""

NOTHING = Exchange((), (), (), ())
NO_BEAT = Beat(frozenset(), frozenset())


class EphemeralKeeper(Store, Protocol):
    """A store that also gives out heads that were looked at before."""

    def claim(self, worker: str, heads: Sequence[Head], *, lease_ms: Millis) -> Exchange:
        """Claim these heads where they are still free."""


class RoutingStore:
    """Keeps durable and ephemeral sessions, each with its keeper. See `storage.base.Store`."""

    def __init__(self, durable: Store, ephemeral: EphemeralKeeper | None) -> None:
        """Make one; without an ephemeral keeper the names of ephemeral sessions are refused."""
        self._durable = self.durable = durable
        self._ephemeral = ephemeral
        self._lock = threading.Lock()
        self._again_at = 0.0
        self._away = False
        self._pause_s = PAUSE_S

    def create_session(self, tenant: str, creation: Creation) -> tuple[Session, bool]:
        """See `Store.create_session`."""
        return self._of(creation.session_id).create_session(tenant, creation)

    def session(self, tenant: str, session_id: str) -> Session:
        """See `Store.session`."""
        return self._of(session_id).session(tenant, session_id)

    def sessions(self, tenant: str, query: SessionQuery) -> list[Session]:
        """See `Store.sessions`."""
        return self._kept(query.ephemeral).sessions(tenant, query)

    def busy_sessions(self, tenant: str) -> dict[str, Job]:
        """See `Store.busy_sessions`."""
        busy = self._durable.busy_sessions(tenant)
        none: dict[str, Job] = {}
        return busy | self._try(none, lambda ephemeral: ephemeral.busy_sessions(tenant))

    def update_session(self, tenant: str, session_id: str, changes: Mapping[str, Any]) -> Session:
        """See `Store.update_session`."""
        return self._of(session_id).update_session(tenant, session_id, changes)

    def delete_session(self, tenant: str, session_id: str) -> tuple[Job, ...]:
        """See `Store.delete_session`."""
        return self._of(session_id).delete_session(tenant, session_id)

    def branch(self, tenant: str, source_id: str, *, before: str | None) -> Branch:
        """See `Store.branch`."""
        return self._of(source_id).branch(tenant, source_id, before=before)

    def plant(self, tenant: str, creation: Creation, branch: Callable[[], Branch]) -> tuple[Session, bool]:
        """See `Store.plant`."""
        return self._of(creation.session_id).plant(tenant, creation, branch)

    def fork_session(
        self, tenant: str, source_id: str, creation: Creation, *, before: str | None
    ) -> tuple[Session, bool]:
        """See `Store.fork_session`. From one keeper to the other too: so an ephemeral session is kept."""
        return self.plant(tenant, creation, lambda: self.branch(tenant, source_id, before=before))

    def admit(self, tenant: str, session_id: str, prompt: Prompt) -> Admission:
        """See `Store.admit`."""
        return self._of(session_id).admit(tenant, session_id, prompt)

    def admit_soon(self, tenant: str, session_id: str, prompt: Prompt) -> Future[Admission]:
        """See `Store.admit_soon`."""
        return self._of(session_id).admit_soon(tenant, session_id, prompt)

    def message(self, tenant: str, session_id: str, message_id: str) -> Message:
        """See `Store.message`."""
        return self._of(session_id).message(tenant, session_id, message_id)

    def messages(
        self, tenant: str, session_id: str, *, limit: int | None = None, before: tuple[int, str] | None = None
    ) -> list[Message]:
        """See `Store.messages`."""
        return self._of(session_id).messages(tenant, session_id, limit=limit, before=before)

    def answer(self, tenant: str, session_id: str, incarnation: int, seq: int) -> Message | None:
        """See `Store.answer`."""
        return self._of(session_id).answer(tenant, session_id, incarnation, seq)

    def history(self, job: Job) -> list[Turn]:
        """See `Store.history`."""
        return self._of(job.session_id).history(job)

    def job(self, tenant: str, job_id: str) -> Job:
        """See `Store.job`."""
        return self._kept(is_ephemeral_job(job_id)).job(tenant, job_id)

    def jobs(self, tenant: str, query: JobQuery) -> list[Job]:
        """See `Store.jobs`."""
        named = query.session_id is not None and is_ephemeral(query.session_id)
        return self._kept(query.ephemeral or named).jobs(tenant, query)

    def jobs_by_id(self, names: Collection[tuple[str, str]]) -> dict[str, Job]:
        """See `Store.jobs_by_id`."""
        durable = [name for name in names if not is_ephemeral_job(name[1])]
        ephemeral = [name for name in names if is_ephemeral_job(name[1])]
        found = self._durable.jobs_by_id(durable) if durable else {}
        return found | self._kept(True).jobs_by_id(ephemeral) if ephemeral else found  # noqa: FBT003

    def head(self, job: Job) -> Job | None:
        """See `Store.head`."""
        return self._of(job.session_id).head(job)

    def cancel_job(self, tenant: str, job_id: str) -> Cancelling:
        """See `Store.cancel_job`."""
        return self._kept(is_ephemeral_job(job_id)).cancel_job(tenant, job_id)

    def abort_session(self, tenant: str, session_id: str) -> Cancelling:
        """See `Store.abort_session`."""
        return self._of(session_id).abort_session(tenant, session_id)

    def retry_job(self, tenant: str, job_id: str, *, idempotency_key: str | None = None) -> Admission:
        """See `Store.retry_job`."""
        return self._kept(is_ephemeral_job(job_id)).retry_job(tenant, job_id, idempotency_key=idempotency_key)

    def ready_heads(self, *, slots: int, suspects: int) -> list[Head]:
        """See `Store.ready_heads`."""
        heads = self._durable.ready_heads(slots=slots, suspects=suspects)
        heads += self._try([], lambda ephemeral: ephemeral.ready_heads(slots=slots, suspects=suspects))
        return sorted(heads, key=Head.order)[:slots]

    def exchange(
        self, worker: str, finished: Sequence[Finished], *, slots: int, lease_ms: Millis, suspects: int = 1
    ) -> Exchange:
        """See `Store.exchange`. One transaction in each keeper; slots go to the heads of both in one order of rank.

        Only the durable part can fail as a whole. What the ephemeral keeper did not take is in `untaken`.
        """
        durable = [each for each in finished if not is_ephemeral(each.session_id)]
        passing = [each for each in finished if is_ephemeral(each.session_id)]
        ended = NOTHING
        if passing:
            untaken = NOTHING.evolve(untaken=tuple(passing))
            ended = self._try(
                untaken, lambda keeper: keeper.exchange(worker, passing, slots=0, lease_ms=lease_ms, suspects=0)
            )
        wanted: list[Head] = []
        if slots:
            wanted = self._try(wanted, lambda keeper: keeper.ready_heads(slots=slots, suspects=suspects))
        if wanted:
            wanted = self._share(wanted, slots, suspects)
        free = slots - len(wanted)
        left = max(0, suspects - sum(head.is_suspect for head in wanted))
        kept = self._durable.exchange(worker, durable, slots=free, lease_ms=lease_ms, suspects=left)
        claimed: tuple[Claimed, ...] = ()
        if wanted:
            more = self._try(NOTHING, lambda keeper: keeper.claim(worker, wanted, lease_ms=lease_ms))
            claimed, ended = more.claimed, ended.evolve(ended=ended.ended + more.ended)
        return kept.evolve(
            taken=kept.taken + ended.taken,
            fenced=kept.fenced + ended.fenced,
            ended=kept.ended + ended.ended,
            claimed=kept.claimed + claimed,
            untaken=ended.untaken,
            next_ready=self._next_ready(kept) if len(kept.claimed) < free or not free else kept.next_ready,
        )

    def _share(self, wanted: list[Head], slots: int, suspects: int) -> list[Head]:
        """Choose the ephemeral heads that are among the next of both keepers."""
        others = self._durable.ready_heads(slots=slots, suspects=suspects)
        mine = set(wanted)
        chosen: list[Head] = []
        for head in sorted([*wanted, *others], key=Head.order):
            if head.is_suspect and suspects <= 0:
                continue
            suspects -= head.is_suspect
            chosen.append(head)
            if len(chosen) == slots:
                break
        return [head for head in chosen if head in mine]

    def _next_ready(self, kept: Exchange) -> Millis | None:
        later = self._try(None, lambda keeper: keeper.next_ready())
        return min((at for at in (kept.next_ready, later) if at is not None), default=None)

    def next_ready(self) -> Millis | None:
        """See `Store.next_ready`."""
        return self._durable.next_ready()

    def renew(self, worker: str, held: Collection[tuple[str, str, int]], *, lease_ms: Millis) -> Beat:
        """See `Store.renew`. Of what Redis does not answer for nothing is said: neither lost nor cancelled."""
        return self._beat(held, lambda keeper, part: keeper.renew(worker, part, lease_ms=lease_ms))

    def look(self, worker: str, held: Collection[tuple[str, str, int]]) -> Beat:
        """See `Store.look`. Of what Redis does not answer for nothing is said: neither lost nor cancelled."""
        return self._beat(held, lambda keeper, part: keeper.look(worker, part))

    def _beat(
        self,
        held: Collection[tuple[str, str, int]],
        ask: Callable[[Store, Collection[tuple[str, str, int]]], Beat],
    ) -> Beat:
        durable = [each for each in held if not is_ephemeral_job(each[1])]
        ephemeral = [each for each in held if is_ephemeral_job(each[1])]
        beat = ask(self._durable, durable) if durable else NO_BEAT
        more = self._try(NO_BEAT, lambda keeper: ask(keeper, ephemeral)) if ephemeral else NO_BEAT
        return Beat(beat.lost | more.lost, beat.cancelled | more.cancelled)

    def hold(self, name: str, worker: str, *, lease_ms: Millis) -> bool:
        """See `Store.hold`."""
        return self._durable.hold(name, worker, lease_ms=lease_ms)

    def reconcile(self, *, limit: int) -> Reconciled:
        """See `Store.reconcile`."""
        mended = self._durable.reconcile(limit=limit)
        more = self._try(Reconciled(), lambda keeper: keeper.reconcile(limit=limit))
        return Reconciled(mended.lost + more.lost, mended.ended + more.ended, mended.stamped + more.stamped)

    def holders(self) -> frozenset[str]:
        """See `Store.holders`."""
        none: frozenset[str] = frozenset()
        return self._durable.holders() | self._try(none, lambda keeper: keeper.holders())

    def end_leases(self, worker: str) -> int:
        """See `Store.end_leases`."""
        return self._durable.end_leases(worker) + self._try(0, lambda keeper: keeper.end_leases(worker))

    def census(self) -> dict[Kind, Census]:
        """See `Store.census`."""
        none: dict[Kind, Census] = {}
        return self._durable.census() | self._try(none, lambda keeper: keeper.census())

    def prune(self, *, older_than_ms: Millis, limit: int) -> int:
        """See `Store.prune`."""
        return self._durable.prune(older_than_ms=older_than_ms, limit=limit)

    def ready(self) -> None:
        """See `Store.ready`. Without Redis there are no ephemeral sessions, but the store is ready."""
        self._durable.ready()

    def close(self) -> None:
        """See `Store.close`."""
        self._durable.close()
        if self._ephemeral is not None:
            self._ephemeral.close()

    def _of(self, session_id: str) -> Store:
        return self._kept(is_ephemeral(session_id))

    def _kept(self, ephemeral: bool) -> Store:
        if not ephemeral:
            return self._durable
        if self._ephemeral is None:
            raise InvalidRequest("ephemeral sessions need a Redis, and this server has none", field="sessionID")
        return self._ephemeral

    def _try(self, otherwise: T, ask: Callable[[EphemeralKeeper], T]) -> T:
        """Ask the ephemeral keeper; `otherwise` if there is none, or it does not answer, or did not just now."""
        if self._ephemeral is None or time.monotonic() < self._again_at:
            return otherwise
        try:
            answer = ask(self._ephemeral)
        except StoreUnavailable:
            with self._lock:
                self._again_at = time.monotonic() + self._pause_s
                self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)
                first, self._away = not self._away, True
            if first:
                log.warning("ephemeral_keeper_unavailable")
            return otherwise
        if self._away:
            with self._lock:
                self._away = False
                self._pause_s = PAUSE_S
            log.info("ephemeral_keeper_answers_again")
        return answer
