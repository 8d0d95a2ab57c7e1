"""Records to rows and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from domain.jobs import CancelScope, Failure, Job, Outcome, PastAttempt, State
from domain.messages import Message, Role, Usage
from domain.sessions import Session
from storage.sql.schema import job, message, session
from storage.sql.transactions import RowRefused

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()

SESSION_COLUMNS = tuple(session.c)
MESSAGE_COLUMNS = tuple(message.c)
#: All but `suspect`, which is computed from `losses`.
JOB_COLUMNS = tuple(column for column in job.c if column.name != "suspect")

_SESSION_NAMES = tuple(column.name for column in SESSION_COLUMNS)
_MESSAGE_NAMES = tuple(column.name for column in MESSAGE_COLUMNS)
_JOB_NAMES = tuple(column.name for column in JOB_COLUMNS)

#: What changes in a job's life; the rest is written once.
JOB_CHANGING = (
    "state",
    "priority",
    "ready_at",
    "rank",
    "attempt",
    "charges",
    "losses",
    "worker",
    "lease_until",
    "renewed",
    "assistant_id",
    "cancel_requested",
    "started",
    "attempt_started",
    "ended",
    "usage",
    "cost",
    "failure",
    "past_attempts",
    "outcome",
    "suspect",
)

#: What a claim changes of a job.
CLAIM_CHANGING = (
    "state",
    "attempt",
    "worker",
    "lease_until",
    "renewed",
    "assistant_id",
    "started",
    "attempt_started",
)

#: What may change of a session, and what a change to its queue changes.
SESSION_CHANGING = tuple(
    column.name for column in SESSION_COLUMNS if column.name not in {"tenant", "id", "incarnation", "created"}
)
QUEUE_CHANGING = ("seq", "updated", "open", "usage", "cost")

Row = Sequence[Any] | sa.Row[Any]


def dumps(value: object) -> str:
    """Encode JSON.

    Raises:
        RowRefused: JSON has no way to write it.
    """
    try:
        return _encoder.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RowRefused(f"the row cannot be written as JSON: {type(error).__name__}") from error


def session_row(value: Session) -> dict[str, Any]:
    """Write a session as its row."""
    row = dict(value.__dict__)
    del row["ttl_ms"]  # durable sessions live until they are deleted
    row["metadata"] = None if value.metadata is None else dumps(value.metadata)
    row["permission"] = None if value.permission is None else dumps(value.permission)
    row["created_with"] = None if value.created_with is None else dumps(value.created_with)
    row["open"] = dumps(value.open)
    row["usage"] = _usage_text(value.usage)
    return row


def session_change(value: Session) -> dict[str, Any]:
    """Write what may have changed of a session, with the key as `key_tenant` and `key_id`."""
    change = session_row(value)
    change["key_tenant"] = change.pop("tenant")
    change["key_id"] = change.pop("id")
    del change["incarnation"], change["created"]
    return change


def queue_change(value: Session) -> dict[str, Any]:
    """Write of a session what a change to its queue changes, with the key as `key_tenant` and `key_id`."""
    return {
        "key_tenant": value.tenant,
        "key_id": value.id,
        "seq": value.seq,
        "updated": value.updated,
        "open": dumps(value.open),
        "usage": _usage_text(value.usage),
        "cost": value.cost,
    }


def session_of(row: Row) -> Session:
    """Read a session from its row, in the order of `SESSION_COLUMNS`."""
    fields = dict(zip(_SESSION_NAMES, row, strict=True))
    for name in ("metadata", "permission", "created_with"):
        if fields[name] is not None:
            fields[name] = _decoder.decode(fields[name])
    fields["open"] = tuple(_decoder.decode(fields["open"]))
    fields["ttl_ms"] = None
    fields["usage"] = _usage_of(fields["usage"])
    return Session.revive(fields)


def message_row(value: Message) -> dict[str, Any]:
    """Write a message as its row."""
    row = dict(value.__dict__)
    row["role"] = 0 if value.role is Role.USER else 1
    row["parts"] = dumps(value.parts)
    row["detail"] = dumps(value.detail)
    return row


def message_of(row: Row) -> Message:
    """Read a message from its row, in the order of `MESSAGE_COLUMNS`."""
    fields = dict(zip(_MESSAGE_NAMES, row, strict=True))
    fields["role"] = Role.ASSISTANT if fields["role"] else Role.USER
    fields["parts"] = _decoder.decode(fields["parts"])
    fields["detail"] = _decoder.decode(fields["detail"])
    fields["failed"] = bool(fields["failed"])
    return Message.revive(fields)


def job_row(value: Job) -> dict[str, Any]:
    """Write a job as its row."""
    row = dict(value.__dict__)
    row["suspect"] = 1 if value.is_suspect else 0
    row["state"] = value.state.value
    if value.cancel_requested is not None:
        row["cancel_requested"] = value.cancel_requested.value
    if value.outcome is not None:
        row["outcome"] = value.outcome.value
    if value.usage is not None:
        row["usage"] = _usage_text(value.usage)
    if value.failure is not None:
        row["failure"] = dumps(value.failure.__dict__)
    row["past_attempts"] = dumps([past.__dict__ for past in value.past_attempts]) if value.past_attempts else None
    return row


def job_change(value: Job) -> dict[str, Any]:
    """Write what may have changed of a job, with the key as `key_tenant` and `key_id`."""
    row = job_row(value)
    change = {name: row[name] for name in JOB_CHANGING}
    change["key_tenant"] = value.tenant
    change["key_id"] = value.id
    return change


def claim_change(value: Job) -> dict[str, Any]:
    """Write what a claim changes of a job, with the key as `key_tenant` and `key_id`."""
    return {
        "key_tenant": value.tenant,
        "key_id": value.id,
        "state": value.state.value,
        "attempt": value.attempt,
        "worker": value.worker,
        "lease_until": value.lease_until,
        "renewed": value.renewed,
        "assistant_id": value.assistant_id,
        "started": value.started,
        "attempt_started": value.attempt_started,
    }


def job_of(row: Row) -> Job:
    """Read a job from its row, in the order of `JOB_COLUMNS`."""
    fields = dict(zip(_JOB_NAMES, row, strict=True))
    fields["state"] = State(fields["state"])
    if fields["cancel_requested"] is not None:
        fields["cancel_requested"] = CancelScope(fields["cancel_requested"])
    if fields["usage"] is not None:
        fields["usage"] = _usage_of(fields["usage"])
    if fields["failure"] is not None:
        fields["failure"] = Failure(**_decoder.decode(fields["failure"]))
    past = fields["past_attempts"]
    fields["past_attempts"] = () if past is None else _past_attempts(_decoder.decode(past))
    if fields["outcome"] is not None:
        fields["outcome"] = Outcome(fields["outcome"])
    return Job.revive(fields)


def _past_attempts(rows: Iterable[dict[str, Any]]) -> tuple[PastAttempt, ...]:
    return tuple(PastAttempt(**{**row, "outcome": Outcome(row["outcome"])}) for row in rows)


def _usage_text(usage: Usage) -> str:
    return dumps((usage.input, usage.output, usage.reasoning, usage.cache_read, usage.cache_write))


def _usage_of(text: str) -> Usage:
    return Usage(*_decoder.decode(text))
