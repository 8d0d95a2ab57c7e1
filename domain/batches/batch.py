"""A batch, and the file that it is read from: as they are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from domain.batches.lines import Place
from domain.batches.reading import Defaults
from domain.clock import Millis
from domain.messages import Usage
from domain.record import Record

FileState = Literal["uploading", "ready", "gone"]
FileKind = Literal["stored", "output", "error"]


class BatchState(StrEnum):
    """Where a batch is in its life: OpenAI's words."""

    #: Its file is being read; none of its lines runs.
    VALIDATING = "validating"
    #: Its file could not be run. None of its lines ran.
    FAILED = "failed"
    #: Its lines run.
    IN_PROGRESS = "in_progress"
    #: All its lines have an outcome, and its output is being prepared. Here this takes no time.
    FINALIZING = "finalizing"
    #: Every line has run to its end.
    COMPLETED = "completed"
    #: Its window ended before its lines did.
    EXPIRED = "expired"
    #: Its lines are being ended: by its caller, or because its window is over.
    CANCELLING = "cancelling"
    #: Its caller ended it.
    CANCELLED = "cancelled"

    @property
    def is_active(self) -> bool:
        """Whether the batch may still change by itself."""
        return self in (BatchState.VALIDATING, BatchState.IN_PROGRESS, BatchState.CANCELLING)


class LineState(StrEnum):
    """What has become of a line that has a record. Lines that have none wait, or are open."""

    #: Its job is kept elsewhere (in Redis, or it is another's): somebody looks at it now and then.
    WATCHED = "watched"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True)
class File(Record):
    """A file: uploaded, or what a batch has put out."""

    tenant: str
    id: str
    name: str
    purpose: str
    created: Millis
    expires: Millis | None
    #: Bytes, decompressed.
    size: int = 0
    #: SHA-256 (hex) of an uploaded file's bytes.
    digest: str = ""
    state: FileState = "uploading"
    #: `stored` bytes, or the `output` or `error` lines of a batch, which are put together when they are read.
    kind: FileKind = "stored"
    batch_id: str | None = None


@dataclass(frozen=True)
class LineError(Record):
    """What is wrong with a line, or with a file as a whole."""

    code: str
    message: str
    #: Counted from 1; None: the file.
    line: int | None = None
    #: Dotted.
    field: str | None = None


@dataclass(frozen=True)
class BatchRequest(Record):
    """What a caller asked for with a batch."""

    #: What the caller named it, or a new one.
    id: str
    input_file_id: str
    endpoint: str
    #: As it was given: `24h`.
    completion_window: str
    window_ms: Millis
    metadata: Mapping[str, str] | None = None
    #: How long its output is kept; None: as long as the server says.
    output_ttl_ms: Millis | None = None
    defaults: Defaults = field(default_factory=Defaults)
    #: Whether lines that cannot be run are left out, and told of in the error file.
    skip_invalid: bool = False
    #: The batch whose answers are taken over for lines that have not changed.
    base: str | None = None
    #: The most lines that may be open at once.
    max_in_flight: int | None = None


@dataclass(frozen=True)
class Batch(Record):
    """A batch."""

    tenant: str
    id: str
    request: BatchRequest
    #: The name and the digest of its input, as they were when it was made.
    input_name: str
    input_digest: str
    created: Millis
    #: When its window is over.
    expires: Millis
    state: BatchState = BatchState.VALIDATING
    priority: int = 5
    paused: bool = False
    #: Counts its runs: a retry of its failed lines begins the next.
    run: int = 1
    #: Of a batch whose lines are being ended: what it will be then.
    ending: BatchState | None = None
    #: Its lines that are not blank; 0 until they have been counted.
    total: int = 0
    #: How many of them cannot be run.
    invalid: int = 0
    #: Whether some of them are ephemeral.
    has_ephemeral: bool = False
    #: Which lines have been passed: admitted, or given an outcome at once.
    place: Place = field(default_factory=Place)
    #: How many these are.
    passed: int = 0
    errors: Sequence[LineError] = ()
    in_progress_at: Millis | None = None
    cancelling_at: Millis | None = None
    ended_at: Millis | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None

    @property
    def defaults(self) -> Defaults:
        """What it says for lines that do not say it themselves."""
        return self.request.defaults.evolve(priority=self.priority)

    def seed(self, number: int) -> str:
        """Tell this run of a line from every other run of any line."""
        return f"{self.id}/{self.created}/{self.run}/{number}"


@dataclass(frozen=True)
class Tally(Record):
    """What has become of a batch's lines so far, and what they used. Exact at any moment."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    usage: Usage = field(default_factory=Usage)
    #: US dollars.
    cost: float = 0.0
    #: Bytes of the lines of the output file, and of the error file.
    output_size: int = 0
    error_size: int = 0

    @property
    def ended(self) -> int:
        """The lines that have their outcome."""
        return self.succeeded + self.failed + self.cancelled + self.expired


@dataclass(frozen=True)
class Progress(Record):
    """A batch and what has become of its lines, at one moment."""

    batch: Batch
    tally: Tally
    #: Lines that were passed and have no outcome yet.
    open: int = 0
    #: How many of these run now.
    running: int = 0
