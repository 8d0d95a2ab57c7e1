"""Reads the files of new batches, in a thread of its own, so that the batches at work do not wait for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator

from domain.batches.batch import Batch, LineError
from domain.batches.lines import RawLine
from domain.batches.validation import Findings, validate
from domain.errors import FileNotFound, StoreUnavailable
from storage.batch_lines import BatchTerms
from storage.batches import Batches, Name

log = logging.getLogger(__name__)

BREATH_LINES = 2_000
BREATH_S = 0.001
"""After so many lines others have the interpreter for a moment."""


class _Ended(Exception):
    """The worker is about to end."""


class Reading:
    """What is known of the files of batches. Its public methods are for one thread."""

    def __init__(self, batches: Batches, terms: BatchTerms, *, done: Callable[[], None]) -> None:
        """Make one; `done` is called, in the reading thread, when a file has been read."""
        self._batches = batches
        self._terms = terms
        self._done = done
        self._lock = threading.Lock()
        self._found: dict[Name, Findings] = {}
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    def end(self) -> None:
        """Read no further."""
        self._ending.set()

    def findings(self, batch: Batch) -> Findings | None:
        """Return what a batch's file holds, or None as long as that is not known: it is being read, or soon will be."""
        with self._lock:
            found = self._found.get((batch.tenant, batch.id))
        if found is None and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, args=(batch,), name="batches-reading", daemon=True)
            self._thread.start()
        return found

    def repeated(self, batch: Batch) -> frozenset[int]:
        """Return the numbers of a batch's lines whose name an earlier one has. It may have to read the file for it."""
        if not batch.invalid:
            return frozenset()
        with self._lock:
            found = self._found.get((batch.tenant, batch.id))
        if found is None:
            found = self._read(batch)
            with self._lock:
                self._found[batch.tenant, batch.id] = found
        return found.repeated

    def keep(self, names: Collection[Name]) -> None:
        """Forget the files of all other batches."""
        with self._lock:
            self._found = {name: found for name, found in self._found.items() if name in names}

    def _run(self, batch: Batch) -> None:
        try:
            found = self._read(batch)
        except (StoreUnavailable, _Ended):
            return
        except FileNotFound:
            message = f"{batch.input_name}: the file is gone"
            found = Findings(0, errors=(LineError("file_gone", message),))
        except Exception as error:  # noqa: BLE001 - it is asked for again; a thread that dies tells nobody
            log.error("batch_not_read", extra={"batch": batch.id, "error": type(error).__name__})  # noqa: TRY400
            return
        with self._lock:
            self._found[batch.tenant, batch.id] = found
        self._done()

    def _read(self, batch: Batch) -> Findings:
        def lines() -> Iterator[RawLine]:
            for number, raw in enumerate(self._terms.lines(self._batches, batch)):
                if not number % BREATH_LINES:
                    if self._ending.is_set():
                        raise _Ended
                    time.sleep(BREATH_S)
                yield raw

        return validate(lines, self._terms.reader(batch), file=batch.input_name, most_lines=self._terms.most_lines)
