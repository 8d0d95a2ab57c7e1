"""What happened in a run with faults, told from three sides: by clients, by the model, and by the store.

Plain values that know nothing of promptq's own types, so that a made-up history is easily written. Times are epoch
milliseconds; all sides use one machine's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

#: States in which a job stays.
TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


@dataclass(frozen=True)
class Submission:
    """One request of a client to take a prompt. The same prompt is submitted many times, under the same key."""

    client: str
    session: str
    #: The caller's name of the prompt: its `messageID` or its `Idempotency-Key`.
    key: str
    sent: int
    #: When the answer had come, or the connection had broken.
    ended: int
    #: None: the connection broke.
    status: int | None
    #: The job that the answer named.
    job: str | None = None
    #: The text of the model's answer, if the client waited for it and got it.
    answer: str | None = None

    @property
    def is_kept(self) -> bool:
        """Whether the client was promised that the prompt is kept."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Call:
    """One question to the model."""

    session: str
    job: str
    attempt: int
    asked: int
    prompt: str
    #: The turns that it was shown before the prompt: what was said and what was answered.
    shown: tuple[tuple[str, str], ...]
    #: What it answered, whether or not anybody was left to hear it.
    answer: str


@dataclass(frozen=True)
class Seen:
    """A job as it was at one look at the store during the run."""

    job: str
    session: str
    state: str
    attempt: int
    worker: str | None = None
    lease_until: int | None = None


@dataclass(frozen=True)
class Look:
    """What one statement over the store returned, and when that was by the store's clock."""

    at: int
    jobs: Sequence[Seen]


@dataclass(frozen=True)
class Attempt:
    """An attempt that the store says has ended."""

    number: int
    started: int
    ended: int
    outcome: str


@dataclass(frozen=True)
class Job:
    """A job as it is kept at the end."""

    id: str
    session: str
    seq: int
    state: str
    #: The number of its latest attempt.
    attempt: int
    attempts: Sequence[Attempt] = ()
    ended: int | None = None
    retry_of: str | None = None

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL


@dataclass(frozen=True)
class Prompt:
    """A user message as it is kept at the end."""

    session: str
    seq: int
    key: str
    job: str
    text: str


@dataclass(frozen=True)
class Answer:
    """An assistant message as it is kept at the end."""

    session: str
    seq: int
    id: str
    job: str
    text: str
    #: Whether its turn ended without success, so that no model is shown it.
    failed: bool = False


@dataclass(frozen=True)
class History:
    """A whole run."""

    submissions: Sequence[Submission] = ()
    calls: Sequence[Call] = ()
    looks: Sequence[Look] = ()
    jobs: Sequence[Job] = ()
    prompts: Sequence[Prompt] = ()
    answers: Sequence[Answer] = ()
    #: When the last fault was over; None: there was none.
    last_fault: int | None = None
    #: How long after it, or after its own admission, every prompt must have ended.
    within_ms: int = 60_000
    #: What tells this run from others: printed with what is broken.
    note: str = field(default="", compare=False)
