"""The contract of a store: what keeps sessions, messages and jobs, and moves jobs through their lives.

A store decides nothing: `domain.lifecycle`, `domain.creation` and `domain.sameness` do. It promises how their decisions
are kept.

**Atomic.** Each call that writes is one transaction: all of it is kept, synced to disk before the call returns, or
none of it. Calls raise `StoreUnavailable` if the store did not answer; then nothing was changed. (If the connection
broke during the commit itself, the change may have been kept: the caller repeats, and idempotency makes that harmless.)
They raise `StoreIncompatible` if what is kept there is of another version of promptq, and touch nothing.

**Serial in a session.** Every change to a session's queue is made under that session's lock, and the clock is read
under it. So sequence numbers, commits and times agree on one order. Different sessions do not wait for each other. Who
locks several sessions does so in the order of (tenant, ID); `exchange` and `reconcile` skip sessions that others hold
where they look for work, so that a frozen process cannot block them.

**Head.** At the end of every change the session's open job with the lowest sequence number is stamped with `ready_at`
and rank. A job is eligible for a claim if it is queued, stamped, and its `ready_at` has come by the store's clock.
Claims go by rank (9 first), then by `ready_at`.

**Fence.** What a worker reports is taken only if the job is running and the attempt's number is the job's latest.

**Isolation.** Every call names its tenant, and sees nothing of another's. (A worker's calls span tenants.)

All methods are synchronous and safe to call from many threads. Times are epoch milliseconds by the store's clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from domain.census import Census, Kind
from domain.clock import Millis
from domain.jobs import Claimed, Finished, Job, State
from domain.messages import Message, Turn
from domain.prompts import Admission, Prompt
from domain.record import Record
from domain.sessions import Creation, Session


@dataclass(frozen=True)
class SessionQuery(Record):
    """Which sessions to list: the latest updated first."""

    limit: int = 100
    #: The (`updated`, `id`) of the last one seen; only later in the list.
    after: tuple[Millis, str] | None = None
    #: Only those updated at or after.
    since: Millis | None = None
    #: Only those whose title contains this, ignoring case.
    search: str | None = None
    #: Only those without a parent.
    roots: bool = False
    #: Only the children of this session.
    parent_id: str | None = None
    #: The ephemeral ones instead of the durable ones.
    ephemeral: bool = False


@dataclass(frozen=True)
class JobQuery(Record):
    """Which jobs to list: the newest first."""

    limit: int = 100
    #: The (`created`, `id`) of the last one seen; only older ones.
    after: tuple[Millis, str] | None = None
    states: Collection[State] = ()
    session_id: str | None = None
    batch_id: str | None = None
    #: Those of ephemeral sessions instead of those of durable ones.
    ephemeral: bool = False


@dataclass(frozen=True)
class Branch(Record):
    """What a fork begins with."""

    source: Session
    #: The committed turns, in order.
    turns: Sequence[Turn]


@dataclass(frozen=True)
class Head(Record):
    """A head that may be claimed now."""

    rank: int
    ready_at: Millis
    is_suspect: bool
    #: What its keeper calls it.
    name: str

    def order(self) -> tuple[int, Millis]:
        """Return what heads are sorted by: the most urgent first, then the longest ready."""
        return -self.rank, self.ready_at


@dataclass(frozen=True)
class Cancelling(Record):
    """What a request to cancel did."""

    #: The jobs it was about, as they are now.
    jobs: tuple[Job, ...]
    #: Those among them, and behind them, that it ended.
    ended: tuple[Job, ...] = ()


@dataclass(frozen=True)
class Exchange(Record):
    """What a worker got for what it handed in."""

    #: Jobs whose attempt was taken, as they are now (ended, or queued again).
    taken: tuple[Job, ...]
    #: Ends that were thrown away: their attempts had lost their leases.
    fenced: tuple[Finished, ...]
    #: Jobs ended beside them: cancelled behind a failed one, or found expired.
    ended: tuple[Job, ...]
    #: New attempts, leased to the worker.
    claimed: tuple[Claimed, ...]
    #: Ends that the store cannot take, whatever is tried (a row that poisons its transaction), each with the error.
    refused: tuple[tuple[Finished, Exception], ...] = ()
    #: Ends that a keeper did not answer for: hand them in again.
    untaken: tuple[Finished, ...] = ()
    #: When the next head that is waiting for a time becomes ready, if one is known.
    next_ready: Millis | None = None
    #: The store's time.
    now: Millis = 0


@dataclass(frozen=True)
class Beat(Record):
    """What a worker learns about the attempts it holds."""

    #: Job IDs whose lease it no longer has.
    lost: frozenset[str]
    #: Job IDs that somebody asked to cancel.
    cancelled: frozenset[str]


@dataclass(frozen=True)
class Reconciled(Record):
    """What a round of reconcile mended."""

    #: Jobs whose lease had run out, before and after.
    lost: tuple[tuple[Job, Job], ...] = ()
    #: Jobs that missed their `expiresAt`, or were cancelled behind such jobs.
    ended: tuple[Job, ...] = ()
    #: Sessions whose head had no stamp.
    stamped: int = 0

    @property
    def woke(self) -> bool:
        """Whether there may be work to claim now."""
        return bool(self.lost or self.ended or self.stamped)


class Store(Protocol):
    """Keeps sessions, messages and jobs. See the module's docstring for what every call promises."""

    def create_session(self, tenant: str, creation: Creation) -> tuple[Session, bool]:
        """Create a session, or return the one that is there; the flag says whether it was created.

        Raises:
            SessionExists: it is there and `creation.if_exists` is "error".
            SessionDiffers: it is there with other creation parameters.
            InvalidRequest: the parent that a new one names does not exist.
        """

    def session(self, tenant: str, session_id: str) -> Session:
        """Return a session.

        Raises:
            SessionNotFound: there is none.
        """

    def sessions(self, tenant: str, query: SessionQuery) -> list[Session]:
        """List sessions, the latest updated first (then by ID, descending)."""

    def busy_sessions(self, tenant: str) -> dict[str, Job]:
        """Return the head of each session that has open jobs, by session ID."""

    def update_session(self, tenant: str, session_id: str, changes: Mapping[str, Any]) -> Session:
        """Change `title`, `metadata`, `permission` or `archived` of a session.

        Raises:
            SessionNotFound: there is none.
        """

    def delete_session(self, tenant: str, session_id: str) -> tuple[Job, ...]:
        """End a session's incarnation: remove it and its messages, cancel its open jobs.

        Job records stay, without content, until retention.

        Its children stay. Returns the jobs that it cancelled. A worker that runs one of them loses its lease.

        Raises:
            SessionNotFound: there is none.
        """

    def fork_session(
        self, tenant: str, source_id: str, creation: Creation, *, before: str | None
    ) -> tuple[Session, bool]:
        """Create a session from the committed turns of another, up to message `before` (exclusive; or all).

        `creation.given` names source and message; the same again returns the same session, also if the source is gone.

        Raises:
            SessionNotFound: the source is missing.
            MessageNotFound: the source has no message `before`.
            SessionDiffers: the ID is taken by another session or fork.
        """

    def branch(self, tenant: str, source_id: str, *, before: str | None) -> Branch:
        """Return the committed turns of a session, up to message `before` (exclusive; or all).

        Raises:
            SessionNotFound: it is missing.
            MessageNotFound: it has no message `before`.
        """

    def plant(self, tenant: str, creation: Creation, branch: Callable[[], Branch]) -> tuple[Session, bool]:
        """Create a session from turns of another, or return the one that was made so; `branch` is called at need.

        Raises:
            SessionDiffers: the ID is taken by another session or fork.
        """

    def admit(self, tenant: str, session_id: str, prompt: Prompt) -> Admission:
        """Take a prompt: find or create its session, then check its key, then act, then give it its place.

        The key (`message_id`, else `idempotency_key`) is checked before anything else has an effect.

        Raises:
            SessionNotFound: the session is missing and `prompt.if_missing` is "fail".
            PromptDiffers: the key was used for other content.
            SessionBusy: the session has open jobs and `prompt.when_busy` is "reject".
            BacklogFull: the tenant has too many open jobs.
        """

    def admit_soon(self, tenant: str, session_id: str, prompt: Prompt) -> Future[Admission]:
        """Have `admit` done, and return at once, from any thread, also while the store does not answer.

        The future is done, in a thread of the store's, once the prompt is kept, or fails as `admit` does. It cannot be
        cancelled. Prompts that arrive together may be kept in one transaction; each has its own outcome. Those of one
        session are taken in the order in which they came, but for one that finds the session held by somebody else.
        """

    def message(self, tenant: str, session_id: str, message_id: str) -> Message:
        """Return a message.

        Raises:
            SessionNotFound: there is no such session.
            MessageNotFound: it has no such message.
        """

    def messages(
        self, tenant: str, session_id: str, *, limit: int | None = None, before: tuple[int, str] | None = None
    ) -> list[Message]:
        """List a session's messages by their prompt's sequence, user first.

        With a limit: the latest that many, still in ascending order; `before` is the (`seq`, `role`) of the earliest
        one seen, and pages backwards from it.

        Raises:
            SessionNotFound: there is no such session.
        """

    def answer(self, tenant: str, session_id: str, incarnation: int, seq: int) -> Message | None:
        """Return the assistant message of a prompt, or None while there is none (or the incarnation is gone)."""

    def history(self, job: Job) -> list[Turn]:
        """Return the committed turns before a job, in order: what its model is to be shown."""

    def job(self, tenant: str, job_id: str) -> Job:
        """Return a job.

        Raises:
            JobNotFound: there is none, or its record is past retention.
        """

    def jobs(self, tenant: str, query: JobQuery) -> list[Job]:
        """List jobs, the newest first."""

    def jobs_by_id(self, names: Collection[tuple[str, str]]) -> dict[str, Job]:
        """Return those of these (tenant, job ID) that are kept, by job ID, in one statement."""

    def head(self, job: Job) -> Job | None:
        """Return the head of a job's session, or None if the session has no open jobs."""

    def cancel_job(self, tenant: str, job_id: str) -> Cancelling:
        """Ask a job to end. A queued one ends at once; a running one is ended by its worker; a terminal one stays.

        Raises:
            JobNotFound: there is none.
        """

    def abort_session(self, tenant: str, session_id: str) -> Cancelling:
        """Ask every open job of a session to end.

        Raises:
            SessionNotFound: there is no such session.
        """

    def retry_job(self, tenant: str, job_id: str, *, idempotency_key: str | None = None) -> Admission:
        """Admit a new job, at the tail of its session, that repeats an ended one.

        Raises:
            JobNotFound: there is none.
            JobNotRetryable: it is open or has succeeded.
            SessionNotFound: its session has been deleted.
        """

    def ready_heads(self, *, slots: int, suspects: int) -> list[Head]:
        """List the heads that a claim of so many slots, with so many suspects, would take now, in that order."""

    def next_ready(self) -> Millis | None:
        """Return when the next head that waits for a time becomes ready."""

    def exchange(
        self, worker: str, finished: Sequence[Finished], *, slots: int, lease_ms: Millis, suspects: int = 1
    ) -> Exchange:
        """Take what a worker has done and give it what to do next, in one transaction.

        Of many concurrent callers at most one gets a given job. Repeating a call whose answer was lost is safe: what
        it finished is fenced, what it claimed is lost with its leases.

        Args:
            worker: unique to one run of one worker process.
            finished: attempts that ended; of different sessions, or in order.
            slots: how many new attempts to give at most; 0 for none.
            lease_ms: how long the worker's right to each lasts without renewal.
            suspects: how many of them may be suspects; 0 while the worker has one in its first two seconds.
        """

    def renew(self, worker: str, held: Collection[tuple[str, str, int]], *, lease_ms: Millis) -> Beat:
        """Extend the leases of (tenant, job ID, attempt) from now, in one statement."""

    def look(self, worker: str, held: Collection[tuple[str, str, int]]) -> Beat:
        """Ask which of (tenant, job ID, attempt) are lost or cancelled, in one statement."""

    def hold(self, name: str, worker: str, *, lease_ms: Millis) -> bool:
        """Take or keep a duty that one worker at a time has (`reconcile`); False if another has it."""

    def reconcile(self, *, limit: int) -> Reconciled:
        """Mend what time has broken: leases that ran out, missed `expiresAt`, sessions whose head has no stamp.

        At most `limit` jobs of each kind; call again if it returned that many. Locked sessions are skipped.
        """

    def holders(self) -> frozenset[str]:
        """Return the workers that hold leases now."""

    def end_leases(self, worker: str) -> int:
        """Have the leases of a worker that is known to be gone run out now; the next `reconcile` takes it for lost.

        Of a worker that lives it costs repeated attempts and nothing else: it renews, or its ends are fenced. Returns
        how many leases there were.
        """

    def census(self) -> dict[Kind, Census]:
        """Count the open jobs of all tenants, by what they wait for. A keeper that does not answer is left out.

        It costs as much as there are open jobs; jobs that have ended cost nothing.
        """

    def prune(self, *, older_than_ms: Millis, limit: int) -> int:
        """Remove the records of up to `limit` jobs that ended longer ago; their messages keep job ID, state and hash.

        Returns how many were removed.
        """

    def ready(self) -> None:
        """Return if the store answers and is of this version.

        Raises:
            StoreUnavailable: it does not answer.
            StoreIncompatible: it is of another version.
        """

    def close(self) -> None:
        """Let go of connections and threads. Pending calls are finished first."""
