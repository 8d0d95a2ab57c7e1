"""The durable keeper of files and batches: each call of the contract as one transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from domain.batches import life
from domain.batches.batch import Batch, File, FileKind, Progress
from domain.batches.lines import LineName
from domain.batches.results import Result
from domain.batches.validation import Findings
from domain.clock import Millis
from domain.errors import FileNotFound
from domain.jobs import Job
from storage.batches import KeptLine, Landmarks, Listing, Load, Name, Step
from storage.sql.admission import Terms
from storage.sql.batches import changing, files, outcomes, passing, stopping, tidying
from storage.sql.transactions import Transactions, Tx

MOST_TRIES = 20
PORTION = 200
"""Jobs in one transaction, where each takes several statements."""


class SqlBatches:
    """Keeps files and batches in SQLite or Postgres. See `storage.batches.Batches`."""

    def __init__(self, transactions: Transactions, terms: Terms) -> None:
        self._write = transactions.write
        self._read = transactions.read
        self._terms = terms

    def begin_file(self, tenant: str, file_id: str) -> File:
        """See `Batches.begin_file`."""
        return self._write("file", lambda tx: files.begin(tx, tenant, file_id))

    def add_part(self, tenant: str, file_id: str, start: int, body: bytes) -> None:
        """See `Batches.add_part`."""
        compressed = files.compressed(body)
        self._write("file_part", lambda tx: files.add_part(tx, tenant, file_id, start, compressed))

    def finish_file(self, file: File, ttl_ms: Millis) -> File:
        """See `Batches.finish_file`."""
        finished = file.evolve(state="ready", expires=file.created + ttl_ms)
        self._write("file", lambda tx: files.replace(tx, finished, only="uploading"))
        return finished

    def abandon_file(self, file: File) -> None:
        """See `Batches.abandon_file`."""
        self._write("file", lambda tx: files.replace(tx, file.evolve(state="gone", expires=0), only="uploading"))

    def file(self, tenant: str, file_id: str) -> File:
        """See `Batches.file`."""
        return self._read(lambda tx: files.load(tx, tenant, file_id))

    def files(self, tenant: str, query: Listing) -> list[File]:
        """See `Batches.files`."""
        return self._read(lambda tx: files.listed(tx, tenant, query))

    def delete_file(self, tenant: str, file_id: str) -> None:
        """See `Batches.delete_file`."""
        self._write("file", lambda tx: files.delete(tx, tenant, file_id))

    def parts(self, tenant: str, file_id: str, start: int = 0) -> Iterator[bytes]:
        """See `Batches.parts`."""
        found = self._read(lambda tx: files.find(tx, tenant, file_id))
        if found is None:
            raise FileNotFound(file_id)
        while start < found.size:
            part = self._read(lambda tx, start=start: files.read_part(tx, tenant, file_id, start))  # type: ignore[misc]
            begins, body = part or (start, b"")
            piece = body[start - begins :]
            if not piece:
                raise FileNotFound(file_id)
            yield piece
            start += len(piece)

    def output(self, tenant: str, batch_id: str, kind: FileKind) -> Iterator[bytes]:
        """See `Batches.output`."""
        after = 0
        while True:
            lines = self._read(lambda tx, after=after: files.read_lines(tx, tenant, batch_id, kind, after))  # type: ignore[misc]
            if not lines:
                return
            yield b"".join(text.encode() + b"\n" for _, text in lines)
            after = lines[-1][0]

    def create(self, batch: Batch) -> tuple[Batch, bool]:
        """See `Batches.create`."""
        return self._write("batch", lambda tx: changing.create(tx, batch))

    def progress(self, tenant: str, batch_id: str) -> Progress:
        """See `Batches.progress`."""
        return self._read(lambda tx: changing.progress_of(tx, changing.load(tx, tenant, batch_id)))

    def listed(self, tenant: str, query: Listing) -> list[Progress]:
        """See `Batches.listed`."""
        return self._read(lambda tx: [changing.progress_of(tx, each) for each in changing.listed(tx, tenant, query)])

    def change(self, tenant: str, batch_id: str, decide: life.Decide) -> Batch:
        """See `Batches.change`."""
        return self._write("batch", lambda tx: changing.change(tx, tenant, batch_id, decide))

    def retry(self, tenant: str, batch_id: str) -> Batch:
        """See `Batches.retry`."""
        return self._write("batch", lambda tx: changing.retry(tx, tenant, batch_id))

    def reprioritise(self, tenant: str, batch_id: str, priority: int) -> Batch:
        """See `Batches.reprioritise`. The batch first, so that what is admitted from now on has it."""
        olds: list[int] = []

        def decide(found: Batch, _now: Millis) -> Batch:
            olds.append(found.priority)
            return found if found.priority == priority else found.evolve(priority=priority)

        changed = self.change(tenant, batch_id, decide)
        old = olds[-1]
        for _ in range(MOST_TRIES):
            if old == priority or not self._write("batch", lambda tx: stopping.reprioritise(tx, changed, old, PORTION)):
                break
        return changed

    def landmarks(self, tenant: str, batch_id: str) -> Landmarks:
        """See `Batches.landmarks`."""
        return self._read(lambda tx: changing.landmarks(tx, (tenant, batch_id)))

    def completed(self, tenant: str, batch_id: str, since: Landmarks, until: Landmarks, limit: int) -> list[str]:
        """See `Batches.completed`."""
        return self._read(lambda tx: changing.completed(tx, (tenant, batch_id), since, until, limit))

    def active(self) -> list[Batch]:
        """See `Batches.active`."""
        return self._read(changing.active)

    def begin(self, batch: Batch, findings: Findings) -> Batch:
        """See `Batches.begin`."""
        return self.change(batch.tenant, batch.id, lambda found, now: life.begin(found, findings, now))

    def load(self, batch: Batch, most: int) -> Load:
        """See `Batches.load`."""
        return self._read(lambda tx: changing.load_of(tx, batch, most))

    def kept_lines(self, name: Name, numbers: tuple[int, int]) -> set[int]:
        """See `Batches.kept_lines`."""
        return self._read(lambda tx: changing.kept_lines(tx, name, numbers))

    def lines_by_name(self, name: Name, custom_ids: Collection[str]) -> dict[str, KeptLine]:
        """See `Batches.lines_by_name`."""
        return self._read(lambda tx: changing.lines_by_name(tx, name, custom_ids))

    def pass_lines(self, step: Step) -> bool:
        """See `Batches.pass_lines`."""
        for _ in range(MOST_TRIES - 1):
            try:
                return self._pass(step)
            except passing.SessionBeingMade:
                continue
        return self._pass(step)

    def _pass(self, step: Step) -> bool:
        def work(tx: Tx) -> bool:
            return passing.pass_lines(tx, step, self._terms)

        return self._write("pass", work)

    def hold(self, batch: Batch, limit: int) -> int:
        """See `Batches.hold`."""
        return self._write("hold_heads", lambda tx: stopping.hold(tx, batch, limit))

    def release(self, batch: Batch, limit: int) -> int:
        """See `Batches.release`."""
        return self._write("release_heads", lambda tx: stopping.release(tx, batch, limit))

    def cancel_jobs(self, batch: Batch, limit: int) -> tuple[list[Job], int]:
        """See `Batches.cancel_jobs`."""
        return self._write("cancel_jobs", lambda tx: stopping.cancel_jobs(tx, batch, limit))

    def watched(self, name: Name, after: int, limit: int) -> list[tuple[LineName, str]]:
        """See `Batches.watched`."""
        return self._read(lambda tx: changing.watched(tx, name, after, limit))

    def settle_watched(self, name: Name, results: Sequence[Result]) -> None:
        """See `Batches.settle_watched`."""
        self._write("settle_watched", lambda tx: outcomes.settle_watched(tx, name, results))

    def settle(self, name: Name) -> Batch | None:
        """See `Batches.settle`."""
        return self._write("settle", lambda tx: changing.settle(tx, name))

    def tidy(self, *, retention_ms: Millis, limit: int) -> bool:
        """See `Batches.tidy`."""
        return self._write("tidy", lambda tx: tidying.tidy(tx, retention_ms=retention_ms, limit=limit))
