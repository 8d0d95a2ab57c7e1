"""A store in plain memory: the model that the real keepers are compared with.

Everything happens under one lock, and nothing is clever: load, ask the domain, write. It keeps the contract of
`storage.base` for as long as the process lives.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from domain import creation as creations
from domain import lifecycle
from domain.census import Census, Kind
from domain.clock import Clock, Millis, system_clock
from domain.errors import (
    BacklogFull,
    InvalidRequest,
    JobNotRetryable,
    PromptDiffers,
    PromptqError,
    SessionBusy,
    SessionNotFound,
)
from domain.jobs import CancelScope, Claimed, Finished, Job, State
from domain.messages import Message
from domain.prompts import Admission, Disposition, Prompt
from domain.sameness import refuse_answers_name, same_prompt
from domain.sessions import Creation, Session
from storage.base import Beat, Branch, Cancelling, Exchange, Head, Reconciled
from tests.support.memory_census import counted
from tests.support.memory_reads import MemoryReads

#: As the real keepers: how often one exchange looks while what it finds is overdue.
MOST_LOOKS = 4
INTERRUPTED = "interrupted by a later prompt"
STOPPED = "an earlier prompt of the session did not succeed"


class MemoryStore(MemoryReads):
    """Keeps the `storage.base.Store` protocol in dictionaries."""

    def __init__(
        self,
        *,
        clock: Clock = system_clock,
        default_model: str = "echo/echo",
        backlog: int = 1_000_000,
        jitter: Callable[[], float] = random.random,
        ephemeral: bool = False,
    ) -> None:
        """Make an empty store; an `ephemeral` one keeps no record of a job whose session is gone, and prunes none."""
        super().__init__()
        self._ephemeral = ephemeral
        self._clock = clock
        self._default_model = default_model
        self._backlog = backlog
        self._jitter = jitter
        self._duties: dict[str, tuple[str, Millis]] = {}

    # Sessions

    def create_session(self, tenant: str, creation: Creation) -> tuple[Session, bool]:
        with self._lock:
            kept = self._tables.sessions.get((tenant, creation.session_id))
            if kept is None:
                session = creations.new_session(tenant, creation, self._clock())
            else:
                session = creations.repeat(kept, creation)
            new_parent = session is not kept and creation.parent_id is not None
            if new_parent and (tenant, creation.parent_id) not in self._tables.sessions:
                raise InvalidRequest(f"the parent {creation.parent_id} does not exist", field="parentID")
            self._tables.write(lifecycle.Change(session))
            return session, kept is None

    def update_session(self, tenant: str, session_id: str, changes: Mapping[str, Any]) -> Session:
        with self._lock:
            session = self.session(tenant, session_id).evolve(**changes, updated=self._clock())
            self._tables.write(lifecycle.Change(session))
            return session

    def delete_session(self, tenant: str, session_id: str) -> tuple[Job, ...]:
        with self._lock:
            session = self.session(tenant, session_id)
            now = self._clock()
            open_ids = [job.id for job in self._tables.open_jobs(session)]
            for key, job in self._tables.jobs.items():
                if (job.tenant, job.session_id, job.incarnation) == (tenant, session_id, session.incarnation):
                    self._tables.jobs[key] = lifecycle.bury(job, now)
            self._tables.messages.pop((tenant, session_id, session.incarnation), None)
            del self._tables.sessions[tenant, session_id]
            cancelled = tuple(self._tables.jobs[tenant, job_id] for job_id in open_ids)
            if self._ephemeral:
                gone = [key for key, job in self._tables.jobs.items() if job.incarnation == session.incarnation]
                for key in gone:
                    del self._tables.jobs[key]
            return cancelled

    def plant(self, tenant: str, creation: Creation, branch: Callable[[], Branch]) -> tuple[Session, bool]:
        with self._lock:
            kept = self._tables.sessions.get((tenant, creation.session_id))
            if kept is not None:
                return creations.repeat_fork(kept, creation), False
            found = branch()
            change = creations.fork(tenant, found.source, creation, found.turns, self._clock())
            self._tables.write(change)
            return change.session, True

    def fork_session(
        self, tenant: str, source_id: str, creation: Creation, *, before: str | None
    ) -> tuple[Session, bool]:
        return self.plant(tenant, creation, lambda: self.branch(tenant, source_id, before=before))

    # Prompts

    def admit(self, tenant: str, session_id: str, prompt: Prompt) -> Admission:
        with self._lock:
            now = self._clock()
            kept = self._tables.sessions.get((tenant, session_id))
            if kept is None:
                if prompt.if_missing == "fail":
                    raise SessionNotFound(session_id)
                implied = creations.implied(session_id, prompt)
                return self._admit(creations.new_session(tenant, implied, now), prompt, now, created=True)
            message = self._repeated(kept, prompt)
            if message is None:
                return self._admit(kept, prompt, now, created=False)
            job = self._tables.jobs.get((tenant, message.job_id or ""))
            return Admission(Disposition.REPEATED, session_created=False, session=kept, message=message, job=job)

    def admit_soon(self, tenant: str, session_id: str, prompt: Prompt) -> Future[Admission]:
        answer: Future[Admission] = Future()
        try:
            answer.set_result(self.admit(tenant, session_id, prompt))
        except PromptqError as error:
            answer.set_exception(error)
        return answer

    def _repeated(self, session: Session, prompt: Prompt) -> Message | None:
        """The message that the prompt's key names, if it names one."""
        rows = self._tables.messages_of(session)
        if prompt.message_id is not None:
            key, field = prompt.message_id, "messageID"
            found = [row for row in rows if row.id == key]
        elif prompt.idempotency_key is not None:
            key, field = prompt.idempotency_key, "Idempotency-Key"
            found = [row for row in rows if row.idempotency_key == key]
        else:
            return None
        if not found:
            refuse_answers_name(prompt, self._tables.head(session))
            return None
        if not same_prompt(found[0], prompt, session, default_model=self._default_model):
            raise PromptDiffers(key, field)
        return found[0]

    def _admit(self, session: Session, prompt: Prompt, now: Millis, *, created: bool) -> Admission:
        busy = self._tables.open_jobs(session)
        if busy and prompt.when_busy == "reject":
            raise SessionBusy(session.id)
        open_in_tenant = [
            job for job in self._tables.jobs.values() if job.tenant == session.tenant and job.state.is_open
        ]
        if not prompt.no_reply and len(open_in_tenant) >= self._backlog:
            raise BacklogFull(self._backlog, 1)
        ended: list[Job] = []
        interrupted: list[Job] = []
        if busy and prompt.when_busy == "interrupt":
            abort = lifecycle.cancel_all(session, busy, now, why=INTERRUPTED)
            session = abort.session
            ended += self._apply(abort, now)
            interrupted += [job for job in abort.jobs if job.state is State.RUNNING]
        change = lifecycle.admit(session, prompt, default_model=self._default_model, now=now)
        self._tables.write(change)
        self._stamp(change.session, now)
        message = change.messages[0]
        return Admission(
            Disposition.ADMITTED,
            session_created=created,
            session=self.session(session.tenant, session.id),
            message=message,
            job=self._tables.jobs.get((session.tenant, message.job_id or "")),
            ended=tuple(ended),
            interrupted=tuple(self._tables.jobs[job.tenant, job.id] for job in interrupted),
        )

    def retry_job(self, tenant: str, job_id: str, *, idempotency_key: str | None = None) -> Admission:
        with self._lock:
            job = self.job(tenant, job_id)
            if self._tables.session_of(job) is None:
                raise SessionNotFound(job.session_id)
            if job.state.is_open or job.state is State.SUCCEEDED:
                raise JobNotRetryable(job_id, job.state)
            message = self._tables.rows(job)[job.seq, False]
            return self.admit(
                tenant, job.session_id, lifecycle.retried(job, message).evolve(idempotency_key=idempotency_key)
            )

    # Requests to end

    def cancel_job(self, tenant: str, job_id: str) -> Cancelling:
        with self._lock:
            job = self.job(tenant, job_id)
            session = self._tables.session_of(job)
            if session is None or not job.state.is_open:
                return Cancelling((job,))
            now = self._clock()
            ended = self._apply(lifecycle.cancel(session, job, now, scope=CancelScope.JOB), now)
            return Cancelling((self.job(tenant, job_id),), tuple(ended))

    def abort_session(self, tenant: str, session_id: str) -> Cancelling:
        with self._lock:
            session = self.session(tenant, session_id)
            now = self._clock()
            jobs = self._tables.open_jobs(session)
            ended = self._apply(lifecycle.cancel_all(session, jobs, now), now)
            return Cancelling(tuple(self.job(tenant, job.id) for job in jobs), tuple(ended))

    # Work

    def ready_heads(self, *, slots: int, suspects: int) -> list[Head]:
        with self._lock:
            heads = self._candidates(self._clock(), slots, suspects)
            return [Head(head.rank, head.ready_at or 0, head.is_suspect, head.id) for head in heads]

    def next_ready(self) -> Millis | None:
        with self._lock:
            now = self._clock()
            waiting = [job.ready_at for job in self._tables.queued_heads() if job.ready_at and job.ready_at > now]
            return min(waiting, default=None)

    def exchange(
        self, worker: str, finished: Sequence[Finished], *, slots: int, lease_ms: Millis, suspects: int = 1
    ) -> Exchange:
        with self._lock:
            now = self._clock()
            taken: list[Job] = []
            fenced: list[Finished] = []
            ended: list[Job] = []
            for each in finished:
                job = self._tables.jobs.get((each.tenant, each.job_id))
                session = self._tables.session_of(job) if job is not None else None
                change = (
                    lifecycle.finish(session, job, each, now, jitter=self._jitter())
                    if job is not None and session is not None and lifecycle.holds(job, each.attempt)
                    else None
                )
                if change is None:
                    fenced.append(each)
                    continue
                ended += [behind for behind in self._apply(change, now) if behind.id != each.job_id]
                taken.append(self.job(each.tenant, each.job_id))
            claimed: list[Claimed] = []
            for _ in range(MOST_LOOKS):
                heads = self._candidates(now, slots - len(claimed), suspects)
                overdue = [head for head in heads if lifecycle.is_overdue(head, now)]
                for head in overdue:
                    session = self.session(head.tenant, head.session_id)
                    ended += self._apply(lifecycle.expire(session, head, now), now)
                begun = [self._claim(head, worker, now, lease_ms) for head in heads if head not in overdue]
                claimed += begun
                suspects -= sum(each.job.is_suspect for each in begun)
                if not overdue:
                    break
            return Exchange(
                tuple(taken),
                tuple(fenced),
                tuple(ended),
                tuple(claimed),
                next_ready=self.next_ready(),
                now=now,
            )

    def _candidates(self, now: Millis, slots: int, suspects: int) -> list[Job]:
        """The heads that are next: as many as there are slots, and so many suspects among them."""
        heads = self._tables.ready_heads(now)
        watched = [head.id for head in heads if head.is_suspect][:suspects]
        return [head for head in heads if not head.is_suspect or head.id in watched][:slots]

    def _claim(self, head: Job, worker: str, now: Millis, lease_ms: Millis) -> Claimed:
        job = lifecycle.claim(head, worker, now, lease_ms=lease_ms)
        session = self.session(job.tenant, job.session_id)
        self._tables.write(lifecycle.Change(session, (job,)))
        return Claimed(job, self._tables.rows(job)[job.seq, False], session)

    def renew(self, worker: str, held: Collection[tuple[str, str, int]], *, lease_ms: Millis) -> Beat:
        with self._lock:
            now = self._clock()
            beat = self.look(worker, held)
            for tenant, job_id, _attempt in held:
                if job_id not in beat.lost:
                    job = self.job(tenant, job_id).evolve(lease_until=now + lease_ms, renewed=now)
                    self._tables.jobs[tenant, job_id] = job
            return beat

    def hold(self, name: str, worker: str, *, lease_ms: Millis) -> bool:
        with self._lock:
            now = self._clock()
            holder, until = self._duties.get(name, (worker, now))
            if holder != worker and until > now:
                return False
            self._duties[name] = (worker, now + lease_ms)
            return True

    # Mending

    def reconcile(self, *, limit: int) -> Reconciled:
        with self._lock:
            now = self._clock()
            lost: list[tuple[Job, Job]] = []
            ended: list[Job] = []
            for job in self._lease_ran_out(now)[:limit]:
                session = self.session(job.tenant, job.session_id)
                behind = self._apply(lifecycle.lose(session, job, now, jitter=self._jitter()), now)
                after = self.job(job.tenant, job.id)
                lost.append((job, after))
                ended += [each for each in behind if each.id != job.id]
            for job in self._overdue(now)[:limit]:
                if self.job(job.tenant, job.id).state.is_open:
                    session = self.session(job.tenant, job.session_id)
                    ended += self._apply(lifecycle.expire(session, job, now), now)
            return Reconciled(tuple(lost), tuple(ended))

    def holders(self) -> frozenset[str]:
        return frozenset(job.worker for job in self._tables.jobs.values() if job.worker and job.state is State.RUNNING)

    def census(self) -> dict[Kind, Census]:
        with self._lock:
            kind: Kind = "ephemeral" if self._ephemeral else "durable"
            return {kind: counted(self._tables.jobs.values(), self._clock())}

    def end_leases(self, worker: str) -> int:
        with self._lock:
            held = [job for job in self._tables.jobs.values() if job.worker == worker and job.state is State.RUNNING]
            for job in held:
                self._tables.jobs[job.tenant, job.id] = job.evolve(lease_until=self._clock())
            return len(held)

    def _lease_ran_out(self, now: Millis) -> list[Job]:
        gone = [job for job in self._tables.jobs.values() if job.lease_until is not None and job.lease_until <= now]
        return sorted(gone, key=lambda job: (job.lease_until, job.tenant, job.session_id))

    def _overdue(self, now: Millis) -> list[Job]:
        overdue = [job for job in self._tables.jobs.values() if lifecycle.is_overdue(job, now)]
        return sorted(overdue, key=lambda job: (job.expires_at, job.tenant, job.session_id, job.seq))

    def prune(self, *, older_than_ms: Millis, limit: int) -> int:
        with self._lock:
            if self._ephemeral:
                return 0
            before = self._clock() - older_than_ms
            old = [job for job in self._tables.jobs.values() if job.ended is not None and job.ended <= before]
            for job in sorted(old, key=lambda job: (job.ended, job.id))[:limit]:
                if self._tables.session_of(job) is not None:
                    rows = self._tables.rows(job)
                    rows[job.seq, False] = rows[job.seq, False].evolve(job_state=job.state)
                del self._tables.jobs[job.tenant, job.id]
            return min(len(old), limit)

    def ready(self) -> None:
        """Answer; memory always does."""

    def close(self) -> None:
        """Let go of nothing."""

    def _apply(self, change: lifecycle.Change, now: Millis) -> list[Job]:
        """Write a change, end what `onFailure: "stop"` ends behind it, stamp the head; return the ended jobs."""
        self._tables.write(change)
        ended = [job for job in change.jobs if not job.state.is_open]
        for job in ended.copy():
            session = self.session(job.tenant, job.session_id)
            behind = self._tables.open_jobs(session, after=job.seq)
            if behind and lifecycle.stops_session(session, job):
                ended += self._apply(lifecycle.cancel_all(session, behind, now, why=STOPPED), now)
        self._stamp(change.session, now)
        return ended

    def _stamp(self, session: Session, now: Millis) -> None:
        current = self.session(session.tenant, session.id)
        head = self._tables.head(current)
        if head is not None:
            self._tables.write(lifecycle.Change(current, (lifecycle.stamp(current, head, now),)))
