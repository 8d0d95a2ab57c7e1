"""What a server takes in files of batches, and how their lines are read from where the files are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from domain.batches.batch import Batch
from domain.batches.lines import START, Place, RawLine, split
from domain.batches.reading import LineReader
from domain.record import Record
from domain.requests.prompts import Terms
from domain.settings import Settings
from storage.batches import Batches


@dataclass(frozen=True)
class BatchTerms(Record):
    """Limits of files, and what their lines may ask for."""

    terms: Terms
    most_lines: int = 1_000_000
    #: Bytes.
    longest_line: int = 1024 * 1024

    @classmethod
    def of(cls, settings: Settings, terms: Terms) -> BatchTerms:
        """Take the limits from the settings."""
        return cls(terms, settings.batch_lines, settings.batch_line_limit)

    def reader(self, batch: Batch) -> LineReader:
        """Make the reader of a batch's lines."""
        return LineReader(batch.defaults, self.terms)

    def lines(self, batches: Batches, batch: Batch, at: Place = START) -> Iterable[RawLine]:
        """Read the lines of a batch's file from a place on."""
        return split(batches.parts(batch.tenant, batch.request.input_file_id, at.offset), self.longest_line, at)
