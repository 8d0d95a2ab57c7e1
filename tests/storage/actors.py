"""Who acts on a store in tests: callers that prompt, workers that claim and finish."""

from collections.abc import Sequence
from typing import Any

from domain.errors import PromptqError
from domain.jobs import AttemptEnd, Claimed, Finished, Job, Outcome
from domain.messages import Message
from domain.prompts import Admission, Prompt
from domain.sameness import content_hash
from domain.sessions import Creation, Session
from storage.base import Exchange, Store
from storage.sql.admission import Arrival, admit_together
from storage.sql.store import SqlStore

LEASE_MS = 30_000


def a_prompt(text: str = "hi", **fields: Any) -> Prompt:
    """A prompt of one text part."""
    parts = [{"id": "prt_1", "type": "text", "text": text}]
    return Prompt(parts=parts, content_hash=content_hash({"text": text}), **fields)


def admit(
    store: Store, session_id: str = "ses_a", text: str = "hi", tenant: str = "default", **fields: Any
) -> Admission:
    """Post a prompt."""
    return store.admit(tenant, session_id, a_prompt(text, **fields))


def admit_at_once(
    store: Store, prompts: Sequence[tuple[str, Prompt]], tenant: str = "default"
) -> list[Admission | PromptqError]:
    """Post prompts to sessions at the same moment: in one transaction, where the store has such; in this order."""
    arrivals = [Arrival(tenant, *each) for each in prompts]
    outcomes: Sequence[Admission | PromptqError | None] = [None] * len(arrivals)
    if isinstance(store, SqlStore):
        outcomes = store._transactions.write("admit", lambda tx: admit_together(tx, arrivals, store._terms))
    return [
        outcome if outcome is not None else _admitted_or_refused(store, arrival)
        for arrival, outcome in zip(arrivals, outcomes, strict=True)
    ]


def _admitted_or_refused(store: Store, arrival: Arrival) -> Admission | PromptqError:
    try:
        return store.admit(*arrival)
    except PromptqError as refusal:
        return refusal


def admit_job(store: Store, session_id: str = "ses_a", text: str = "hi", **fields: Any) -> Job:
    """Post a prompt that becomes a job."""
    job = admit(store, session_id, text, **fields).job
    assert job is not None
    return job


def create(store: Store, session_id: str = "ses_a", tenant: str = "default", **given: Any) -> Session:
    """Create a session with these parameters, by their names in `Creation`."""
    return store.create_session(tenant, Creation(session_id, given=given, **given))[0]


def texts(messages: Sequence[Message]) -> list[str]:
    """The first text of each message."""
    return [str(message.parts[0]["text"]) if message.parts else "" for message in messages]


class Worker:
    """Claims and finishes."""

    def __init__(self, store: Store, name: str = "w1") -> None:
        self.store = store
        self.name = name

    def claim(self, slots: int = 100, *, suspects: int = 1, lease_ms: int = LEASE_MS) -> list[Claimed]:
        """Take what is next into so many slots."""
        return list(self.store.exchange(self.name, (), slots=slots, lease_ms=lease_ms, suspects=suspects).claimed)

    def claim_one(self) -> Job:
        """Take the next job; there must be one."""
        (claimed,) = self.claim(1)
        return claimed.job

    def finish(self, job: Job, outcome: Outcome = Outcome.SUCCEEDED, text: str = "done", **left: Any) -> Exchange:
        """Hand in the end of a claimed job's attempt, and take nothing."""
        return self.store.exchange(self.name, [finished(job, outcome, text, **left)], slots=0, lease_ms=LEASE_MS)

    def run(self, outcome: Outcome = Outcome.SUCCEEDED) -> list[str]:
        """Claim and finish, one by one, as long as there is something to claim; return the job IDs in order."""
        done = []
        while claimed := self.claim(1):
            done.append(claimed[0].job.id)
            self.finish(claimed[0].job, outcome, f"answer to {texts([claimed[0].prompt])[0]}")
        return done


def finished(job: Job, outcome: Outcome = Outcome.SUCCEEDED, text: str = "done", **left: Any) -> Finished:
    """The end of a claimed job's attempt, as its worker tells it."""
    end = AttemptEnd(outcome, parts=[{"id": "prt_2", "type": "text", "text": text}], **left)
    return Finished(job.tenant, job.session_id, job.incarnation, job.id, job.attempt, end)


def held(*jobs: Job) -> list[tuple[str, str, int]]:
    """Claimed jobs as a worker names them when it renews their leases."""
    return [(job.tenant, job.id, job.attempt) for job in jobs]
