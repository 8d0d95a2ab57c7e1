"""Messages: the turns of a session, each a user's or an assistant's, made of parts.

Parts and the fields of `detail` are kept in OpenCode's JSON shapes, so that its clients read back what they wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from domain.clock import Millis
from domain.record import Record

Part = Mapping[str, Any]
"""One part of a message as OpenCode has it (`id`, `type`, …) without `sessionID` and `messageID`."""


class Role(StrEnum):
    """Who speaks."""

    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True)
class Usage(Record):
    """Tokens. All counts are of one answer, or summed over a session."""

    input: int = 0
    output: int = 0
    reasoning: int = 0
    cache_read: int = 0
    cache_write: int = 0

    def plus(self, other: Usage) -> Usage:
        """Add another usage, field by field."""
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.reasoning + other.reasoning,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
        )


@dataclass(frozen=True)
class Message(Record):
    """One turn. Ordered within a session by (`seq`, user before assistant)."""

    tenant: str
    session_id: str
    incarnation: int
    #: The sequence number of its prompt; an answer has its prompt's.
    seq: int
    role: Role
    id: str
    created: Millis
    parts: Sequence[Part]
    #: The other fields of the message in OpenCode's names (agent, model, system, tokens, error, …).
    detail: Mapping[str, Any]
    #: The job that this prompt became, or that this answer is of; None for `noReply` and forked messages.
    job_id: str | None = None
    #: Of a user message: SHA-256 (hex) of its content as `domain.sameness` defines it; None if forked.
    content_hash: str | None = None
    #: Of a user message: the `Idempotency-Key` it came with, if it had no `messageID`.
    idempotency_key: str | None = None
    #: Of a user message: how its job ended; written when retention removes the job's record.
    job_state: str | None = None
    #: Of an assistant message: whether its turn ended without success, so that no model is shown the turn.
    failed: bool = False


@dataclass(frozen=True)
class Turn(Record):
    """A prompt and its answer, as a model is shown them. `answer` is None for a `noReply` message."""

    prompt: Message
    answer: Message | None
