"""Files and batches, as tests of stores make them."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from domain.batches.batch import Batch, BatchRequest, File
from domain.batches.life import DAY_MS
from domain.batches.lines import Place, split
from domain.batches.reading import LineReader
from domain.batches.results import Result
from domain.batches.validation import validate
from domain.ids import new_file_id
from storage.batches import Batches, Step
from storage.sql.store import SqlStore
from tests.domain.batches.lines import TERMS, jsonl
from tests.storage.actors import Worker
from tests.support.clocks import FakeClock

LONGEST = 10_000


@dataclass
class Bulk:
    """A store with what it keeps of files and batches."""

    store: SqlStore
    clock: FakeClock
    tenant: str = "default"

    @property
    def batches(self) -> Batches:
        return self.store.batches

    def upload(self, content: bytes, *, piece: int = 1000, purpose: str = "batch", ttl_ms: int = 30 * DAY_MS) -> File:
        """Upload a file in pieces."""
        made = self.batches.begin_file(self.tenant, new_file_id())
        for start in range(0, len(content), piece):
            self.batches.add_part(self.tenant, made.id, start, content[start : start + piece])
        digest = hashlib.sha256(content).hexdigest()
        made = made.evolve(name="x.jsonl", purpose=purpose, size=len(content), digest=digest)
        return self.batches.finish_file(made, ttl_ms)

    def content(self, file: File) -> bytes:
        return b"".join(self.batches.parts(file.tenant, file.id))

    def create(self, batch_id: str, file: File, **fields: Any) -> tuple[Batch, bool]:
        """Create a batch, as a caller does."""
        request = BatchRequest(batch_id, file.id, "/v1/chat/completions", "24h", DAY_MS).evolve(**fields)
        return self.batches.create(Batch(self.tenant, batch_id, request, file.name, file.digest, 0, 0))

    def begun(self, *lines: Any, batch_id: str = "batch_a", **fields: Any) -> Batch:
        """A batch whose file has been read."""
        batch, _ = self.create(batch_id, self.upload(jsonl(*lines)), **fields)
        reader = LineReader(batch.defaults, TERMS)
        findings = validate(
            lambda: split(self.batches.parts(batch.tenant, batch.request.input_file_id), LONGEST),
            reader,
            file=batch.input_name,
            most_lines=1000,
        )
        return self.batches.begin(batch, findings)

    def step(self, batch: Batch, count: int = 1000, *, results: Iterable[Result] = ()) -> Step:
        """Make the step that passes the next lines."""
        reader = LineReader(batch.defaults, TERMS)
        parts = self.batches.parts(batch.tenant, batch.request.input_file_id, batch.place.offset)
        raws = list(split(parts, LONGEST, batch.place))[:count]
        lines = [reader.read(raw) for raw in raws]
        arrivals = [
            (line.name, *line.arrival(batch.id, batch.seed(line.name.number), batch.defaults, TERMS)) for line in lines
        ]
        return Step(batch, Place(raws[-1].number, raws[-1].end), len(raws), arrivals, tuple(results))

    def passed(self, batch: Batch, count: int = 1000) -> Batch:
        """Pass the next lines; return the batch as it is then."""
        assert self.batches.pass_lines(self.step(batch, count))
        return self.now(batch)

    def now(self, batch: Batch) -> Batch:
        return self.batches.progress(batch.tenant, batch.id).batch

    def counts(self, batch: Batch) -> tuple[int, int, int, int]:
        """How many lines succeeded, failed, were cancelled, expired."""
        tally = self.batches.progress(batch.tenant, batch.id).tally
        return tally.succeeded, tally.failed, tally.cancelled, tally.expired

    def output(self, batch: Batch, kind: Any = "output") -> list[dict[str, Any]]:
        """The lines of the output or error file."""
        content = b"".join(self.batches.output(batch.tenant, batch.id, kind))
        return [json.loads(line) for line in content.splitlines()]

    def worker(self, name: str = "w1") -> Worker:
        return Worker(self.store, name)
