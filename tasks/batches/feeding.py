"""Passes the lines of one batch: each becomes a prompt, or is given its outcome at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from domain.batches import results
from domain.batches.batch import Batch, BatchState, LineState
from domain.batches.lines import LineName, Place, RawLine
from domain.batches.reading import Line, LineRefused, custom_id_of
from domain.batches.results import Result
from domain.batches.validation import repetition
from domain.errors import BacklogFull, PromptqError, StoreUnavailable
from domain.jobs import Failure
from domain.prompts import Prompt
from storage.base import Store
from storage.batch_lines import BatchTerms
from storage.batches import Batches, KeptLine, Step

TOGETHER = 128
"""Lines of one step: the database's only writer is held for some ten milliseconds."""

CLOSED_TOGETHER = 500
"""The same, of lines that are only given their outcome."""

BYTES_TOGETHER = 1024 * 1024


@dataclass
class _Taken:
    """What becomes of the lines of one step."""

    arrivals: list[tuple[LineName, str, Prompt]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    watched: list[tuple[LineName, str]] = field(default_factory=list)


class Feeder:
    """Passes lines from where the batch has come to. Made anew when somebody else has passed some."""

    def __init__(
        self,
        batches: Batches,
        store: Store,
        terms: BatchTerms,
        batch: Batch,
        *,
        repeated: frozenset[int],
        pool: Executor,
    ) -> None:
        """Make one.

        Args:
            batches: keeps the batch.
            store: admits prompts to ephemeral sessions.
            terms: what this server takes.
            batch: the batch as it is now.
            repeated: the numbers of lines whose name an earlier line has.
            pool: admits prompts to different ephemeral sessions at the same time.
        """
        self._batches = batches
        self._store = store
        self._terms = terms
        self._reader = terms.reader(batch)
        self._repeated = repeated
        self._pool = pool
        self.place = batch.place
        #: Fewer where the tenant may not have many more open jobs.
        self._together = TOGETHER
        self._lines: Iterator[RawLine] = iter(terms.lines(batches, batch, batch.place))

    def feed(self, batch: Batch, most: int) -> int | None:
        """Pass the next lines, at most so many; returns how many became prompts, or None if it has to be made anew.

        Raises:
            BacklogFull: the tenant has too many open jobs; the same lines come again.
        """
        raws = self._next(min(most, self._together))
        taken = self._take(batch, raws)
        try:
            passed = self._pass(batch, raws, taken)
        except BacklogFull:
            self._together = max(1, self._together // 2)
            raise
        self._together = min(TOGETHER, self._together * 2)
        return len(taken.arrivals) + len(taken.watched) if passed else None

    def close(self, batch: Batch) -> bool:
        """Give the next lines the outcome of a batch that ends before they ran. False: it has to be made anew."""
        raws = self._next(CLOSED_TOGETHER)
        is_expired = batch.ending is BatchState.EXPIRED
        state, failure = (
            (LineState.EXPIRED, results.EXPIRED) if is_expired else (LineState.CANCELLED, results.CANCELLED)
        )
        kept = self._kept(batch, raws)
        taken = _Taken()
        for raw in raws:
            if raw.number not in kept:
                name = LineName(raw.number, 0, custom_id_of(raw) or "")
                taken.results.append(results.of_failure(name, state, failure, batch.id))
        return self._pass(batch, raws, taken)

    def _next(self, most: int) -> list[RawLine]:
        raws: list[RawLine] = []
        size = 0
        for raw in itertools.islice(self._lines, most):
            raws.append(raw)
            size += len(raw.text or b"")
            if size >= BYTES_TOGETHER:
                break
        return raws

    def _pass(self, batch: Batch, raws: Sequence[RawLine], taken: _Taken) -> bool:
        if not raws:  # the file is shorter than it was when it was read: it is read anew
            return False
        last = raws[-1]
        place = Place(last.number, last.end)
        step = Step(batch, place, len(raws), taken.arrivals, taken.results, taken.watched)
        try:
            passed = self._batches.pass_lines(step)
        except (BacklogFull, StoreUnavailable):
            self._lines = itertools.chain(raws, self._lines)
            raise
        self.place = place
        return passed

    def _take(self, batch: Batch, raws: Sequence[RawLine]) -> _Taken:
        taken = _Taken()
        kept = self._kept(batch, raws)
        lines: list[Line] = []
        for raw in raws:
            if raw.number in kept:
                continue
            try:
                line = self._reader.read(raw)
                if raw.number in self._repeated:
                    raise repetition(None, line.name.custom_id)
                lines.append(line)
            except LineRefused as refusal:
                taken.results.append(results.of_refusal(raw.number, refusal, batch.id))
        answered = self._answered(batch, lines)
        passing: list[tuple[Line, str, Prompt]] = []
        for line in lines:
            before = answered.get(line.name.custom_id)
            if before is not None and before.hash == line.name.hash and before.text is not None:
                taken.results.append(Result(line.name, LineState.SUCCEEDED, before.text, before.job_id))
                continue
            session_id, prompt = line.arrival(batch.id, batch.seed(line.name.number), batch.defaults, self._terms.terms)
            if line.is_ephemeral:
                passing.append((line, session_id, prompt))
            else:
                taken.arrivals.append((line.name, session_id, prompt))
        if passing:
            self._admit_ephemeral(batch, passing, taken)
        return taken

    def _kept(self, batch: Batch, raws: Sequence[RawLine]) -> set[int]:
        """Return the lines that have an outcome of an earlier run."""
        if batch.run == 1 or not raws:
            return set()
        return self._batches.kept_lines((batch.tenant, batch.id), (raws[0].number - 1, raws[-1].number))

    def _answered(self, batch: Batch, lines: Sequence[Line]) -> Mapping[str, KeptLine]:
        """Return what the batch that this one is based on has answered, by the names of lines."""
        base = batch.request.base
        if base is None or not lines:
            return {}
        found = self._batches.lines_by_name((batch.tenant, base), [line.name.custom_id for line in lines])
        return {name: kept for name, kept in found.items() if kept.state is LineState.SUCCEEDED}

    def _admit_ephemeral(self, batch: Batch, passing: Sequence[tuple[Line, str, Prompt]], taken: _Taken) -> None:
        """Admit prompts to ephemeral sessions, those of one session in their order. Again, it changes nothing."""
        by_session: dict[str, list[tuple[Line, Prompt]]] = {}
        for line, session_id, prompt in passing:
            by_session.setdefault(session_id, []).append((line, prompt))
        for found in self._pool.map(lambda each: self._admit_in_order(batch, *each), by_session.items()):
            for name, outcome in found:
                if isinstance(outcome, str):
                    taken.watched.append((name, outcome))
                else:
                    taken.results.append(results.of_failure(name, LineState.FAILED, outcome, batch.id))

    def _admit_in_order(
        self, batch: Batch, session_id: str, prompts: Sequence[tuple[Line, Prompt]]
    ) -> list[tuple[LineName, str | Failure]]:
        found: list[tuple[LineName, str | Failure]] = []
        for line, prompt in prompts:
            try:
                kept = self._store.admit(batch.tenant, session_id, prompt.evolve(batch_id=None, line=None))
                found.append((line.name, kept.message.job_id or ""))
            except (BacklogFull, StoreUnavailable):
                raise
            except PromptqError as error:
                found.append((line.name, Failure("refused", str(error))))
        return found
