"""A prompt as a store admits it: checked, complete, with what makes it the same as another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from domain.clock import Millis
from domain.jobs import Job
from domain.messages import Message, Part
from domain.record import Record
from domain.sessions import Session

WhenBusy = Literal["queue", "reject", "interrupt"]
IfMissing = Literal["create", "fail"]


@dataclass(frozen=True)
class Prompt(Record):
    """A user message that asks for an answer (or, with `no_reply`, for none)."""

    parts: Sequence[Part]
    #: SHA-256 (hex) of the content without the model; see `domain.sameness`.
    content_hash: str
    #: What the caller named it, or None.
    message_id: str | None = None
    #: The `Idempotency-Key`; ignored where there is a `message_id`.
    idempotency_key: str | None = None
    #: `provider/model` as the caller gave it, or None for the session's or the server's.
    model: str | None = None
    #: The other fields of the message, in OpenCode's names, without those that were not given.
    detail: Mapping[str, Any] | None = None
    no_reply: bool = False
    priority: int = 5
    max_attempts: int = 3
    timeout_ms: Millis = 600_000
    not_before: Millis | None = None
    expires_at: Millis | None = None
    when_busy: WhenBusy = "queue"
    if_missing: IfMissing = "create"
    retry_of: str | None = None
    batch_id: str | None = None
    #: Of a batch's prompt: which line it is, as `domain.batches.lines.LineName` writes it.
    line: str | None = None
    #: Where a session is made if it is missing.
    directory: str = "/"
    #: The workspace of a session that this prompt makes.
    workspace_id: str | None = None
    #: Of an ephemeral session: how long it outlives its latest activity, from this prompt on; None: as before.
    ttl_ms: Millis | None = None


class Disposition(StrEnum):
    """What admission did with a prompt."""

    #: It is kept; this call did it.
    ADMITTED = "admitted"
    #: It was kept already; nothing runs twice.
    REPEATED = "repeated"


@dataclass(frozen=True)
class Admission(Record):
    """The answer to a prompt: what is kept of it."""

    disposition: Disposition
    #: Whether this call made the session.
    session_created: bool
    session: Session
    message: Message
    #: None for `noReply`, and for a repeat of a job whose record is past retention (`message.job_id` still names it).
    job: Job | None
    #: Jobs that this admission ended (`whenBusy: "interrupt"`).
    ended: tuple[Job, ...] = ()
    #: Running jobs that it asked to end.
    interrupted: tuple[Job, ...] = ()
