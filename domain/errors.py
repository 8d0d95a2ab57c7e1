"""What can go wrong, by name. The facts are attributes; only `api.errors` knows HTTP statuses.

PromptqError
├── InvalidRequest            the request is wrong in itself; names the field
├── NotFound                  no such session, message or job (or another tenant's)
│   ├── SessionNotFound
│   ├── MessageNotFound
│   ├── JobNotFound
│   ├── FileNotFound
│   └── BatchNotFound
├── Conflict                  the request contradicts what is kept
│   ├── SessionDiffers        same session ID, other creation parameters
│   ├── SessionExists         `ifExists: "error"`
│   ├── PromptDiffers         same messageID or Idempotency-Key, other content
│   ├── SessionBusy           `whenBusy: "reject"`
│   ├── JobNotRetryable       the job is open or succeeded
│   └── BatchDiffers, BatchNotReady   in `domain.batches.life`
├── BacklogFull               too many open jobs; try later
├── StoreUnavailable          the database did not answer or could not write; nothing was changed
├── StoreIncompatible         the database is of another version of promptq
└── ModelUnknown              (an InvalidRequest) no executor answers for the model
"""

from __future__ import annotations

from collections.abc import Sequence


class PromptqError(Exception):
    """The root of all errors that promptq raises on purpose."""


class InvalidRequest(PromptqError):
    """The request is wrong in itself."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        #: The field at fault, dotted (`parts.0.url`), or None if no single one is.
        self.field = field


class ModelUnknown(InvalidRequest):
    """No executor answers for this model."""

    def __init__(self, model: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown model {model!r}; this server has: {', '.join(known)}", field="model")
        self.model = model


class NotFound(PromptqError):
    """What was named does not exist for this tenant."""


class SessionNotFound(NotFound):
    """No session has this ID."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"Session not found: {session_id}")
        self.session_id = session_id


class MessageNotFound(NotFound):
    """The session has no message with this ID."""

    def __init__(self, message_id: str) -> None:
        super().__init__(f"Message not found: {message_id}")
        self.message_id = message_id


class JobNotFound(NotFound):
    """No job has this ID, or its record is past retention."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job not found: {job_id}")
        self.job_id = job_id


class FileNotFound(NotFound):
    """No file has this ID, or it has expired."""

    def __init__(self, file_id: str) -> None:
        super().__init__(f"File not found: {file_id}")
        self.file_id = file_id


class BatchNotFound(NotFound):
    """No batch has this ID, or its record is past retention."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"Batch not found: {batch_id}")
        self.batch_id = batch_id


class Conflict(PromptqError):
    """The request contradicts what is kept. Nothing was changed."""

    def __init__(self, message: str, *, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        #: The fields that differ, in alphabetical order.
        self.fields = tuple(fields)


class SessionDiffers(Conflict):
    """The session exists with other creation parameters."""

    def __init__(self, session_id: str, fields: Sequence[str]) -> None:
        super().__init__(f"session {session_id} exists with another {', '.join(fields)}", fields=fields)
        self.session_id = session_id


class SessionExists(Conflict):
    """The session exists and the caller asked for a new one."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} exists already", fields=("id",))
        self.session_id = session_id


class PromptDiffers(Conflict):
    """The key names a message that is kept with other content."""

    def __init__(self, key: str, field: str) -> None:
        super().__init__(f"{field} {key!r} was used for other content in this session", fields=(field,))
        self.key = key


class SessionBusy(Conflict):
    """The session has open jobs and the caller wanted an idle one."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"session {session_id} is busy and whenBusy is 'reject'", fields=("whenBusy",))
        self.session_id = session_id


class JobNotRetryable(Conflict):
    """Only a job that ended without success can be retried."""

    def __init__(self, job_id: str, state: str) -> None:
        super().__init__(f"job {job_id} is {state}; only failed, cancelled and expired jobs can be retried")
        self.job_id = job_id
        self.state = state


class BacklogFull(PromptqError):
    """The tenant has as many open jobs as the server takes."""

    def __init__(self, limit: int, retry_after_s: int) -> None:
        super().__init__(f"the backlog is full: {limit} open jobs; try again in {retry_after_s} s")
        self.limit = limit
        self.retry_after_s = retry_after_s


class StoreUnavailable(PromptqError):
    """The store did not answer, was locked, or could not write. Nothing was changed; the same call may succeed."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreIncompatible(PromptqError):
    """The database was written by another version of promptq; `promptq migrate`, or a newer promptq, is needed."""
