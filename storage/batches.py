"""The contract of what keeps files and batches.

A store of files and batches decides nothing: `domain.batches` does. What `storage.base` promises holds here too: each
call that writes is one transaction, synced to disk; calls raise `StoreUnavailable` if the store did not answer, and
name their tenant. Any number of processes on any number of machines see the same files.

**A line has one outcome.** A batch's lines are *passed* in the order of its file: each becomes a job, or is given its
outcome at once. A step of that is one transaction, and happens only if the batch is still as who asks for it has seen
it; so whoever is killed between two steps is followed by somebody who goes on, and whoever was only asleep is refused.
The outcome of a line is noted in the transaction that ends its job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from domain.batches.batch import Batch, File, FileKind, LineState, Progress
from domain.batches.life import Decide
from domain.batches.lines import LineName, Place
from domain.batches.results import Result
from domain.batches.validation import Findings
from domain.clock import Millis
from domain.jobs import Job
from domain.prompts import Prompt
from domain.record import Record

Name = tuple[str, str]
"""A tenant and a batch ID."""


@dataclass(frozen=True)
class Listing(Record):
    """Which files or batches to list: the newest first."""

    limit: int
    #: The ID of the last one seen; only those after it.
    after: str | None = None
    #: Of files: the oldest first.
    ascending: bool = False
    #: Of files: only those with this purpose.
    purpose: str | None = None


@dataclass(frozen=True)
class Step(Record):
    """Lines that are passed together, and where that leads."""

    #: As it was seen: it must still be so.
    batch: Batch
    #: Where the batch has come to with them.
    place: Place
    #: How many they are.
    passed: int
    #: Those that become jobs, in the order of the file: each with its session's ID and its prompt.
    arrivals: Sequence[tuple[LineName, str, Prompt]] = ()
    #: Those that have their outcome already.
    results: Sequence[Result] = ()
    #: Those whose jobs are kept elsewhere, with the jobs' IDs.
    watched: Sequence[tuple[LineName, str]] = ()


@dataclass(frozen=True)
class KeptLine(Record):
    """What is kept of a line that has its outcome."""

    number: int
    custom_id: str
    hash: int
    state: LineState
    job_id: str | None
    #: The line of the output file; None if that is gone.
    text: str | None


@dataclass(frozen=True)
class Load(Record):
    """How much a batch has under way."""

    #: Heads that wait for a worker.
    ready: int = 0
    #: Heads that wait for the batch to be resumed, among these.
    held: int = 0
    #: Open jobs, and watched lines.
    open: int = 0
    #: The store's time.
    now: Millis = 0


@dataclass(frozen=True)
class Landmarks(Record):
    """How far the order of completion has come, by shard."""

    places: Mapping[int, int] = field(default_factory=dict)


class Batches(Protocol):
    """Keeps files and batches. See the module's docstring for what every call promises."""

    # Files

    def begin_file(self, tenant: str, file_id: str) -> File:
        """Begin an upload. The file is seen by nobody until it is whole, and goes by itself in an hour."""

    def add_part(self, tenant: str, file_id: str, start: int, body: bytes) -> None:
        """Keep the next bytes of an upload, those from `start` on."""

    def finish_file(self, file: File, ttl_ms: Millis) -> File:
        """End an upload: the file is there from now on, for so long from when it was begun.

        Raises:
            FileNotFound: the upload took too long.
        """

    def abandon_file(self, file: File) -> None:
        """End an upload that came to nothing."""

    def file(self, tenant: str, file_id: str) -> File:
        """Return a file.

        Raises:
            FileNotFound: there is none, or it has expired.
        """

    def files(self, tenant: str, query: Listing) -> list[File]:
        """List files by the time when they were made.

        Raises:
            FileNotFound: there is no file `query.after`.
        """

    def delete_file(self, tenant: str, file_id: str) -> None:
        """Take a file away. Its bytes go soon; those of an active batch's input when that has ended.

        Raises:
            FileNotFound: there is none.
        """

    def parts(self, tenant: str, file_id: str, start: int = 0) -> Iterator[bytes]:
        """Read an uploaded file's bytes from a place on, a piece at a time; also of one that was taken away meanwhile.

        Raises:
            FileNotFound: (while it is read) its bytes are gone.
        """

    def output(self, tenant: str, batch_id: str, kind: FileKind) -> Iterator[bytes]:
        """Read the output or the error lines of a batch, in the order of its input, some at a time."""

    # Batches

    def create(self, batch: Batch) -> tuple[Batch, bool]:
        """Keep a new batch, or return the one that is there; the flag says whether it is new.

        Raises:
            BatchDiffers: there is one of another file, or with other parameters.
            FileNotFound: its input is not there.
        """

    def progress(self, tenant: str, batch_id: str) -> Progress:
        """Return a batch with its counts.

        Raises:
            BatchNotFound: there is none.
        """

    def listed(self, tenant: str, query: Listing) -> list[Progress]:
        """List batches, the newest first.

        Raises:
            BatchNotFound: there is no batch `query.after`.
        """

    def change(self, tenant: str, batch_id: str, decide: Decide) -> Batch:
        """Change a batch as is decided under its lock.

        Raises:
            BatchNotFound: there is none.
            BatchNotReady: it cannot be changed so.
        """

    def retry(self, tenant: str, batch_id: str) -> Batch:
        """Have a batch that has ended run its lines again that did not succeed.

        Raises:
            BatchNotFound: there is none.
            BatchNotReady: it has not ended, all its lines succeeded, or its input is gone.
        """

    def reprioritise(self, tenant: str, batch_id: str, priority: int) -> Batch:
        """Give a batch another priority, and its open jobs that had the old one.

        Raises:
            BatchNotFound: there is none.
        """

    def landmarks(self, tenant: str, batch_id: str) -> Landmarks:
        """Tell how far the order of completion has come."""

    def completed(self, tenant: str, batch_id: str, since: Landmarks, until: Landmarks, limit: int) -> list[str]:
        """Return the lines that ended between two landmarks, successes and others; at most `limit` of each shard."""

    # What one worker at a time does for all

    def active(self) -> list[Batch]:
        """Return the batches of all tenants that have something to be done, the oldest first."""

    def begin(self, batch: Batch, findings: Findings) -> Batch:
        """Note what a batch's file holds: it runs from now on, or has failed."""

    def load(self, batch: Batch, most: int) -> Load:
        """Count what a batch has under way, up to `most` of each."""

    def kept_lines(self, name: Name, numbers: tuple[int, int]) -> set[int]:
        """Return which lines between two numbers (the first exclusive, the last inclusive) have an outcome already."""

    def lines_by_name(self, name: Name, custom_ids: Collection[str]) -> dict[str, KeptLine]:
        """Return what is kept of lines, by their names."""

    def pass_lines(self, step: Step) -> bool:
        """Pass lines. False: the batch is not any more as it was seen, and nothing happened.

        Raises:
            BacklogFull: the tenant has too many open jobs; nothing happened.
        """

    def hold(self, batch: Batch, limit: int) -> int:
        """Have up to `limit` heads of a batch that wait for a worker wait until it is resumed; how many it were."""

    def release(self, batch: Batch, limit: int) -> int:
        """Let up to `limit` of them be claimed again; how many it were."""

    def cancel_jobs(self, batch: Batch, limit: int) -> tuple[list[Job], int]:
        """Ask up to `limit` open jobs of a batch to end. Returns those that ended, and how many were asked."""

    def watched(self, name: Name, after: int, limit: int) -> list[tuple[LineName, str]]:
        """Return watched lines after a number, with the IDs of their jobs."""

    def settle_watched(self, name: Name, results: Sequence[Result]) -> None:
        """Note the outcomes of watched lines; those that have one already keep it."""

    def settle(self, name: Name) -> Batch | None:
        """End a batch all of whose lines have their outcome; None if some have not, or it has ended before."""

    def tidy(self, *, retention_ms: Millis, limit: int) -> bool:
        """Remove some of what has expired. Returns whether there may be more."""
