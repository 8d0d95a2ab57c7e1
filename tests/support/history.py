"""What happened in a run with faults, told from three sides: by clients, by the model, and by the store.

Ephemeral sessions leave nothing in the store; their clients say what they held, in the words of the store.

Plain values that know nothing of promptq's own types, so that a made-up history is easily written. Times are epoch
milliseconds; all sides use one machine's clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

#: States in which a job stays.
TERMINAL = frozenset({"succeeded", "failed", "cancelled", "expired"})


def is_ephemeral(session: str) -> bool:
    """Whether a session is one that only Redis keeps: its name says so."""
    return session.startswith("ses_tmp_")


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
    #: Whether the request waited for the model's answer.
    waited: bool = False
    #: Whether a refusal said when to come again.
    retry_after: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether the client was promised that the prompt is kept."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True)
class Wish:
    """What must come of a prompt."""

    session: str
    key: str
    #: Of which kind it is, for people.
    kind: str
    states: Sequence[str] = ("succeeded",)
    #: How many attempts must have been charged to it; None: however many.
    charges: int | None = None


@dataclass(frozen=True)
class Sighting:
    """What a client was told when it asked for a job of an ephemeral session."""

    session: str
    key: str
    sent: int
    ended: int
    #: `gone`: there is no such job, nor its session.
    state: str
    ttl_ms: int | None = None

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def is_gone(self) -> bool:
        return self.state == "gone"


@dataclass(frozen=True)
class Assembled:
    """An answer as a client put it together from a stream of events."""

    client: str
    session: str
    #: The ID of the assistant message.
    answer: str
    text: str


@dataclass(frozen=True)
class Trace:
    """A place where content of an ephemeral session was found and must not be."""

    place: str
    excerpt: str


@dataclass(frozen=True)
class Fault:
    """Something that was done to the fleet."""

    kind: str
    began: int
    ended: int
    #: Whether Redis forgot all that it held.
    loses_redis: bool = False
    #: What did not come back in time after it, and by which row of the table of faults it had to.
    complaint: str = ""
    row: str = ""


@dataclass(frozen=True)
class KeptSession:
    """A session as it is kept at the end."""

    id: str
    #: How many open jobs it says that it has.
    open: int


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
    #: `whole`, or in which way it did not answer.
    how: str = "whole"
    #: How long it asked to be left alone.
    retry_after_ms: int = 0


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
    #: When it was admitted.
    created: int = 0
    #: How many attempts counted against its limit.
    charges: int = 0

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
    wishes: Sequence[Wish] = ()
    sightings: Sequence[Sighting] = ()
    assembled: Sequence[Assembled] = ()
    traces: Sequence[Trace] = ()
    faults: Sequence[Fault] = ()
    sessions: Sequence[KeptSession] = ()
    #: Whether workers were only ever asked to end, and Redis and the database were left alone.
    is_gentle: bool = False
    #: How much longer than it should a request may take on a machine that does much else.
    slack_ms: int = 2_000
    #: When the last fault was over; None: there was none.
    last_fault: int | None = None
    #: How long after it, or after its own admission, every prompt must have ended.
    within_ms: int = 60_000
    #: What tells this run from others: printed with what is broken.
    note: str = field(default="", compare=False)
