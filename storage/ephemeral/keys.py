"""The Redis keys of ephemeral sessions.

Two kinds. A session's own keys (all that is content is in these) are written together and carry one expiry:

- `tmp:s:TENANT:SESSION`, a hash: `v` (the version), `session`, `j:JOB`, `m:SEQ:ROLE`, and the names of messages,
  `n:MESSAGE` and `i:IDEMPOTENCY-KEY`, each with the place of its message;
- `tmp:o:TENANT:SESSION`, a sorted set: its open jobs by sequence number;
- `tmp:at:TAG`, a string: tenant and session, by the tag that ends its jobs' IDs;
- `tmp:h:TENANT:SESSION:TAG`, a stream: its latest events, while somebody watches it (`storage.notices`).

Indexes hold names and times only, over all sessions: what is ready, running, expiring, open. What they say of a session
that has expired is removed by whoever comes upon it.
"""

from __future__ import annotations

from domain.ids import session_tag
from domain.jobs import Job, State

_SEPARATOR = "\x1f"


class Keys:
    """Names keys under a prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}tmp:"
        self.running = f"{self._prefix}running"
        self.expiring = f"{self._prefix}expiring"
        #: The tenants that may have open jobs.
        self.tenants = f"{self._prefix}tenants"

    def session(self, tenant: str, session_id: str) -> str:
        """The hash of a session."""
        return f"{self._prefix}s:{tenant}:{session_id}"

    def open(self, tenant: str, session_id: str) -> str:
        """The sorted set of a session's open jobs."""
        return f"{self._prefix}o:{tenant}:{session_id}"

    def at(self, tag: str) -> str:
        """Where the session with a tag is."""
        return f"{self._prefix}at:{tag}"

    def at_session(self, session_id: str, incarnation: int) -> str:
        """Where a session says that it is."""
        return self.at(session_tag(session_id, incarnation))

    def history(self, tenant: str, session_id: str, incarnation: int) -> str:
        """The stream of a session's latest events."""
        return f"{self._prefix}h:{tenant}:{session_id}:{session_tag(session_id, incarnation)}"

    def ready(self, suspect: bool, rank: int) -> str:
        """The ready heads of one rank, by time: suspects apart."""
        return f"{self._prefix}ready:{int(suspect)}:{rank}"

    def open_of(self, tenant: str) -> str:
        """A tenant's open jobs, by when they were made."""
        return f"{self._prefix}open:{tenant}"

    def sessions_of(self, tenant: str) -> str:
        """A tenant's sessions, by their latest activity."""
        return f"{self._prefix}sessions:{tenant}"

    def duty(self, name: str) -> str:
        """Who has a duty."""
        return f"{self._prefix}duty:{name}"

    def entries(self, job: Job | None) -> dict[tuple[str, str], int]:
        """Return the entries of a job in the indexes: (key, member) with its score."""
        if job is None or not job.state.is_open:
            return {}
        member = name_of(job)
        entries = {(self.open_of(job.tenant), member): job.created}
        if job.state is State.RUNNING:
            entries[self.running, member] = job.lease_until or 0
            return entries
        if job.ready_at is not None:
            entries[self.ready(job.is_suspect, job.rank), member] = job.ready_at
        if job.expires_at is not None and job.attempt == 0:
            entries[self.expiring, member] = job.expires_at
        return entries


def name_of(job: Job) -> str:
    """Write what the indexes call a job."""
    return _SEPARATOR.join((job.tenant, job.session_id, job.id, str(job.seq)))


def named(member: str) -> tuple[str, str, str, int]:
    """Read the tenant, session ID, job ID and sequence number that an index entry names."""
    tenant, session_id, job_id, seq = member.split(_SEPARATOR)
    return tenant, session_id, job_id, int(seq)
