"""The ephemeral keeper: each call of the store's contract over Redis."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import redis

from domain.census import Census, Kind
from domain.clock import Clock, Millis
from domain.errors import InvalidRequest, JobNotFound, StoreUnavailable
from domain.jobs import Finished, Job
from domain.messages import Message, Turn
from domain.prompts import Admission, Prompt
from domain.sessions import Creation, Session
from storage.base import Beat, Branch, Cancelling, Exchange, Head, JobQuery, Reconciled, SessionQuery
from storage.ephemeral import census, changes, exchange, reading, upkeep
from storage.ephemeral.inspection import inspect
from storage.ephemeral.keys import Keys
from storage.ephemeral.snapshots import Snapshot, Snapshots

T = TypeVar("T")

BACKLOG_RETRY_AFTER_S = 10

SOON_THREADS = 32
"""How many prompts are taken at once."""

REMEMBER_S = 60.0
"""How often a tenant that prompts is noted anew, for the census: after FLUSHALL it is known again in a minute."""

MOST_LOOKS = 4
"""How often one exchange looks for heads while what it finds is overdue, gone or taken by others."""


class EphemeralStore:
    """Keeps ephemeral sessions in Redis: `storage.base.Store`, but for these.

    - A session goes, with all that is its own, when its time to live is over; so do its jobs' records.
    - `delete_session` leaves no job records, and `prune` has nothing to do.
    - Each session changes atomically; `exchange` is one transaction a session, not one in all.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = "promptq:",
        default_model: str = "echo/echo",
        default_ttl_ms: Millis = 3_600_000,
        backlog: int = 1_000_000,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._keys = Keys(prefix)
        self._snapshots = Snapshots(client, self._keys, clock=clock, default_ttl_ms=default_ttl_ms)
        self._default_model = default_model
        self._backlog = backlog
        self._jitter = jitter
        self._is_inspected = False
        self._remembered: dict[str, float] = {}
        self._threads = ThreadPoolExecutor(SOON_THREADS, thread_name_prefix="promptq-ephemeral")

    def create_session(self, tenant: str, creation: Creation) -> tuple[Session, bool]:
        """See `Store.create_session`."""

        def check_parent() -> None:
            parent_id = creation.parent_id
            if parent_id is not None and reading.find_session(self._snapshots, tenant, parent_id) is None:
                message = f"parentID names no session: {parent_id}"
                raise InvalidRequest(message, field="parentID")

        return self._change(tenant, creation.session_id, lambda at: changes.create(at, creation, check_parent))

    def session(self, tenant: str, session_id: str) -> Session:
        """See `Store.session`."""
        with answering():
            return reading.load_session(self._snapshots, tenant, session_id)

    def sessions(self, tenant: str, query: SessionQuery) -> list[Session]:
        """See `Store.sessions`."""
        with answering():
            return reading.sessions(self._snapshots, tenant, query)

    def busy_sessions(self, tenant: str) -> dict[str, Job]:
        """See `Store.busy_sessions`."""
        with answering():
            return reading.busy_sessions(self._snapshots, tenant)

    def update_session(self, tenant: str, session_id: str, wanted: Mapping[str, Any]) -> Session:
        """See `Store.update_session`."""
        return self._change(tenant, session_id, lambda at: changes.update(at, wanted))

    def delete_session(self, tenant: str, session_id: str) -> tuple[Job, ...]:
        """See `Store.delete_session`. The jobs' records go with the session."""
        return self._change(tenant, session_id, changes.delete)

    def branch(self, tenant: str, source_id: str, *, before: str | None) -> Branch:
        """See `Store.branch`."""
        with answering():
            return reading.branch(self._snapshots, tenant, source_id, before)

    def plant(self, tenant: str, creation: Creation, branch: Callable[[], Branch]) -> tuple[Session, bool]:
        """See `Store.plant`."""
        return self._change(tenant, creation.session_id, lambda at: changes.plant(at, creation, branch))

    def fork_session(
        self, tenant: str, source_id: str, creation: Creation, *, before: str | None
    ) -> tuple[Session, bool]:
        """See `Store.fork_session`."""
        return self.plant(tenant, creation, lambda: self.branch(tenant, source_id, before=before))

    def admit(self, tenant: str, session_id: str, prompt: Prompt) -> Admission:
        """See `Store.admit`."""
        admission = self._change(
            tenant,
            session_id,
            lambda at: changes.admit(
                at, prompt, default_model=self._default_model, check_backlog=lambda: self._check_backlog(tenant)
            ),
        )
        self._remember(tenant)
        return admission

    def admit_soon(self, tenant: str, session_id: str, prompt: Prompt) -> Future[Admission]:
        """See `Store.admit_soon`."""
        try:
            return self._threads.submit(self.admit, tenant, session_id, prompt)
        except RuntimeError as error:
            answer: Future[Admission] = Future()
            answer.set_exception(StoreUnavailable(f"the store is closed, or has no thread left: {error}"))
            return answer

    def message(self, tenant: str, session_id: str, message_id: str) -> Message:
        """See `Store.message`."""
        with answering():
            return reading.message_by_id(self._snapshots, tenant, session_id, message_id)

    def messages(
        self, tenant: str, session_id: str, *, limit: int | None = None, before: tuple[int, str] | None = None
    ) -> list[Message]:
        """See `Store.messages`."""
        with answering():
            return reading.messages(self._snapshots, tenant, session_id, limit=limit, before=before)

    def answer(self, tenant: str, session_id: str, incarnation: int, seq: int) -> Message | None:
        """See `Store.answer`."""
        with answering():
            found = reading.message_at(self._snapshots, tenant, session_id, seq, 1)
            return found if found is not None and found.incarnation == incarnation else None

    def history(self, job: Job) -> list[Turn]:
        """See `Store.history`."""
        with answering():
            return reading.history(self._snapshots, job)

    def job(self, tenant: str, job_id: str) -> Job:
        """See `Store.job`."""
        found = self.jobs_by_id([(tenant, job_id)])
        if job_id not in found:
            raise JobNotFound(job_id)
        return found[job_id]

    def jobs(self, tenant: str, query: JobQuery) -> list[Job]:
        """See `Store.jobs`."""
        with answering():
            return reading.jobs(self._snapshots, tenant, query)

    def jobs_by_id(self, names: Collection[tuple[str, str]]) -> dict[str, Job]:
        """See `Store.jobs_by_id`."""
        with answering():
            return reading.jobs_by_id(self._snapshots, names)

    def head(self, job: Job) -> Job | None:
        """See `Store.head`."""
        with answering():
            at = self._snapshots.load((job.tenant, job.session_id))
            head_id = at.head_id()
            if at.session is None or at.session.incarnation != job.incarnation or head_id is None:
                return None
            return at.job(head_id)

    def cancel_job(self, tenant: str, job_id: str) -> Cancelling:
        """See `Store.cancel_job`."""
        return self._change(tenant, self._session_of(tenant, job_id), lambda at: changes.cancel(at, job_id))

    def abort_session(self, tenant: str, session_id: str) -> Cancelling:
        """See `Store.abort_session`."""
        return self._change(tenant, session_id, changes.abort)

    def retry_job(self, tenant: str, job_id: str, *, idempotency_key: str | None = None) -> Admission:
        """See `Store.retry_job`."""

        def original(job: Job) -> Message | None:
            return reading.message_at(self._snapshots, tenant, job.session_id, job.seq, 0)

        return self._change(
            tenant,
            self._session_of(tenant, job_id),
            lambda at: changes.retry(
                at,
                job_id,
                original,
                idempotency_key=idempotency_key,
                default_model=self._default_model,
                check_backlog=lambda: self._check_backlog(tenant),
            ),
        )

    def ready_heads(self, *, slots: int, suspects: int) -> list[Head]:
        """See `Store.ready_heads`."""
        with answering():
            return exchange.ready(self._snapshots, slots, suspects)

    def next_ready(self) -> Millis | None:
        """See `Store.next_ready`."""
        with answering():
            return exchange.next_ready(self._snapshots)

    def claim(self, worker: str, heads: Sequence[Head], *, lease_ms: Millis) -> Exchange:
        """Claim these heads where they are still free, and end those that are overdue."""
        with answering():
            claimed, ended = exchange.claim(self._snapshots, worker, heads, lease_ms)
            return Exchange((), (), tuple(ended), tuple(claimed))

    def exchange(
        self, worker: str, finished: Sequence[Finished], *, slots: int, lease_ms: Millis, suspects: int = 1
    ) -> Exchange:
        """See `Store.exchange`."""
        with answering():
            taken, fenced, ended = exchange.finish(self._snapshots, finished, self._jitter)
            claimed: list[Any] = []
            later = None
            now = self._snapshots.now()
            for _ in range(MOST_LOOKS):
                free = slots - len(claimed)
                heads = exchange.ready(self._snapshots, free, suspects) if free > 0 else []
                if not heads:
                    break
                more, overdue = exchange.claim(self._snapshots, worker, heads, lease_ms)
                suspects -= sum(each.job.is_suspect for each in more)
                claimed += more
                ended += overdue
            if len(claimed) < slots:
                later = exchange.next_ready(self._snapshots, now)
            return Exchange(tuple(taken), tuple(fenced), tuple(ended), tuple(claimed), next_ready=later, now=now)

    def renew(self, worker: str, held: Collection[tuple[str, str, int]], *, lease_ms: Millis) -> Beat:
        """See `Store.renew`."""
        with answering():
            return exchange.renew(self._snapshots, worker, held, lease_ms)

    def look(self, worker: str, held: Collection[tuple[str, str, int]]) -> Beat:
        """See `Store.look`."""
        with answering():
            return exchange.look(self._snapshots, worker, held)

    def hold(self, name: str, worker: str, *, lease_ms: Millis) -> bool:
        """See `Store.hold`."""
        with answering():
            return upkeep.hold(self._snapshots, name, worker, lease_ms)

    def reconcile(self, *, limit: int) -> Reconciled:
        """See `Store.reconcile`. Heads are stamped in the change that makes them: none is ever without."""
        with answering():
            lost, behind = upkeep.lose_lapsed(self._snapshots, limit, self._jitter)
            expired = upkeep.expire_overdue(self._snapshots, limit)
            return Reconciled(tuple(lost), (*behind, *expired))

    def holders(self) -> frozenset[str]:
        """See `Store.holders`."""
        with answering():
            return upkeep.holders(self._snapshots)

    def end_leases(self, worker: str) -> int:
        """See `Store.end_leases`."""
        with answering():
            return upkeep.end_leases(self._snapshots, worker)

    def census(self) -> dict[Kind, Census]:
        """See `Store.census`."""
        with answering():
            return {"ephemeral": census.census(self._snapshots)}

    def prune(self, *, older_than_ms: Millis, limit: int) -> int:  # noqa: ARG002 - the contract's
        """See `Store.prune`. Sessions take their jobs' records along when they go."""
        return 0

    def ready(self) -> None:
        """See `Store.ready`."""
        with answering():
            self._client.ping()

    def close(self) -> None:
        """See `Store.close`."""
        self._threads.shutdown()
        with contextlib.suppress(redis.RedisError):
            self._client.close()

    def _change(self, tenant: str, session_id: str, work: Callable[[Snapshot], T]) -> T:
        with answering():
            if not self._is_inspected:
                inspect(self._client)
                self._is_inspected = True
            return self._snapshots.change((tenant, session_id), work)

    def _session_of(self, tenant: str, job_id: str) -> str:
        with answering():
            place = exchange.where(self._snapshots, [(tenant, job_id)]).get((tenant, job_id))
        if place is None:
            raise JobNotFound(job_id)
        return place[1]

    def _remember(self, tenant: str) -> None:
        """Have a tenant's jobs counted by `census`, best effort; asked for at every prompt, done once a minute."""
        if time.monotonic() >= self._remembered.get(tenant, 0.0):
            with contextlib.suppress(redis.RedisError, OSError):
                census.remember_tenant(self._snapshots, tenant)
            self._remembered[tenant] = time.monotonic() + REMEMBER_S

    def _check_backlog(self, tenant: str) -> None:
        open_jobs = self._client.zcard(self._keys.open_of(tenant))
        changes.check_open(open_jobs, self._backlog, BACKLOG_RETRY_AFTER_S)


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn Redis's errors into promptq's."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        message = f"Redis is unavailable: {type(error).__name__}"
        raise StoreUnavailable(message) from error
