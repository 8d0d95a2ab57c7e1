"""Records to JSON and back, for keepers that keep them whole."""

from __future__ import annotations

from typing import Any

import msgspec

from domain.jobs import CancelScope, Failure, Job, Outcome, PastAttempt, State
from domain.messages import Message, Role, Usage
from domain.record import Record
from domain.sessions import Session


def _fields(value: Any) -> Any:
    if isinstance(value, Record):
        return value.__dict__
    message = f"not a record: {type(value).__name__}"
    raise TypeError(message)


_encoder = msgspec.json.Encoder(enc_hook=_fields)
_decoder = msgspec.json.Decoder()


def encode(value: Session | Message | Job) -> bytes:
    """Write a record."""
    return _encoder.encode(value.__dict__)


def session_of(document: bytes) -> Session:
    """Read a session."""
    fields = _decoder.decode(document)
    fields["open"] = tuple(fields["open"])
    fields["usage"] = Usage.revive(fields["usage"])
    return Session.revive(fields)


def message_of(document: bytes) -> Message:
    """Read a message."""
    fields = _decoder.decode(document)
    fields["role"] = Role(fields["role"])
    return Message.revive(fields)


def job_of(document: bytes) -> Job:
    """Read a job."""
    fields = _decoder.decode(document)
    fields["state"] = State(fields["state"])
    if fields["cancel_requested"] is not None:
        fields["cancel_requested"] = CancelScope(fields["cancel_requested"])
    if fields["usage"] is not None:
        fields["usage"] = Usage.revive(fields["usage"])
    if fields["failure"] is not None:
        fields["failure"] = Failure.revive(fields["failure"])
    if fields["outcome"] is not None:
        fields["outcome"] = Outcome(fields["outcome"])
    fields["past_attempts"] = tuple(
        PastAttempt.revive({**past, "outcome": Outcome(past["outcome"])}) for past in fields["past_attempts"]
    )
    return Job.revive(fields)
