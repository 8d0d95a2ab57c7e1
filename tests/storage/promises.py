"""What must hold of a store after every command, whatever came before: asked of the model, with which keepers agree."""

from collections import Counter
from collections.abc import Sequence

from domain.clock import Millis
from domain.jobs import Job, State
from domain.messages import Role
from domain.prompts import Admission, Disposition
from storage.base import Exchange
from tests.support.memory_store import MemoryStore


class Promises:
    """Watches a model, and remembers what may not change."""

    def __init__(self, model: MemoryStore) -> None:
        self._tables = model._tables
        #: Jobs that were seen in a terminal state: state, end, attempt, answer.
        self._ended: dict[str, tuple[State, Millis | None, int, str | None]] = {}
        self._attempts: dict[str, int] = {}
        self._keys: dict[tuple[str, str, int, str], tuple[str, str | None]] = {}

    def open_jobs(self) -> list[Job]:
        """All jobs that have not ended."""
        return [job for job in self._tables.jobs.values() if job.state.is_open]

    def admitted(self, told: Admission) -> None:
        """The same key gives the same message and job."""
        message, session = told.message, told.session
        for key in (message.idempotency_key, message.id):
            if key is None:
                continue
            name = session.tenant, session.id, session.incarnation, key
            kept = self._keys.setdefault(name, (message.id, message.job_id))
            assert kept == (message.id, message.job_id)
        assert (told.disposition is Disposition.REPEATED) or told.message.seq == session.seq

    def running(self, attempts: Sequence[Job]) -> list[int]:
        """Which of these attempts, by their places, still own their jobs."""
        return [place for place, attempt in enumerate(attempts) if self._owns(attempt)]

    def overtaken(self, attempts: Sequence[Job]) -> list[int]:
        """Which of these attempts, by their places, have lost jobs that run again."""
        jobs = [self._tables.jobs.get((attempt.tenant, attempt.id)) for attempt in attempts]
        return [
            place
            for place, (attempt, job) in enumerate(zip(attempts, jobs, strict=True))
            if job is not None and job.state is State.RUNNING and job.attempt != attempt.attempt
        ]

    def _owns(self, attempt: Job) -> bool:
        job = self._tables.jobs.get((attempt.tenant, attempt.id))
        return job is not None and job.state is State.RUNNING and job.attempt == attempt.attempt

    def exchanged(self, told: Exchange, handed_in: Sequence[Job], valid: Sequence[Job]) -> None:
        """Of each valid attempt one end is taken, of any other none; heads are claimed, under numbers not used yet."""
        names = [(attempt.id, attempt.attempt) for attempt in handed_in]
        taken = Counter(names)
        taken.subtract((end.job_id, end.attempt) for end in told.fenced)
        owned = {(attempt.id, attempt.attempt) for attempt in valid}
        assert taken == {name: int(name in owned) for name in names}
        assert len(told.taken) == sum(taken.values())
        for each in told.claimed:
            head = self._tables.head(each.session)
            assert head is not None
            assert head.id == each.job.id
            assert each.job.attempt > self._attempts.get(each.job.id, 0)
            assert each.prompt.seq == each.job.seq

    def pruned(self) -> None:
        """Records that were removed need not be there."""
        self._ended = {name: end for name, end in self._ended.items() if self._find(name) is not None}

    def check(self) -> None:
        """Check everything that holds of all sessions and jobs at any time."""
        for session in self._tables.sessions.values():
            waiting = self._tables.open_jobs(session)
            counts = [0] * len(session.open)
            for job in waiting:
                counts[job.priority] += 1
            assert session.open == tuple(counts)
            assert all(job.state is State.QUEUED and job.ready_at is None for job in waiting[1:])
            if waiting:
                assert waiting[0].ready_at is not None
            if waiting and waiting[0].state is State.QUEUED:
                assert waiting[0].rank == session.urgency
            self._check_messages(session.tenant, session.id, session.incarnation, session.seq)
        for job in self._tables.jobs.values():
            self._check_job(job)

    def _check_messages(self, tenant: str, session_id: str, incarnation: int, seq: int) -> None:
        rows = self._tables.messages.get((tenant, session_id, incarnation), {})
        prompts = [message for message in rows.values() if message.role is Role.USER]
        assert sorted(message.seq for message in prompts) == list(range(1, seq + 1))
        assert len({message.id for message in rows.values()}) == len(rows)
        for prompt in prompts:
            job = self._tables.jobs.get((tenant, prompt.job_id or ""))
            answer = rows.get((prompt.seq, True))
            if job is not None:
                assert (answer is not None) == (not job.state.is_open)
            if job is not None and answer is not None:
                assert (answer.id, answer.failed) == (job.assistant_id, job.state is not State.SUCCEEDED)

    def _check_job(self, job: Job) -> None:
        assert job.attempt >= self._attempts.get(job.id, 0)
        self._attempts[job.id] = job.attempt
        assert (job.lease_until is not None) == (job.state is State.RUNNING)
        assert job.charges <= job.max_attempts
        if job.state.is_open:
            assert job.id not in self._ended
            assert self._tables.session_of(job) is not None
            return
        assert job.ready_at is None
        end = job.state, job.ended, job.attempt, job.assistant_id
        assert self._ended.setdefault(job.id, end) == end
        if job.state is State.SUCCEEDED and (session := self._tables.session_of(job)) is not None:
            assert all(other.seq > job.seq for other in self._tables.open_jobs(session))

    def _find(self, job_id: str) -> Job | None:
        return next((job for job in self._tables.jobs.values() if job.id == job_id), None)
