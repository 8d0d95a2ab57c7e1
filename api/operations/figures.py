"""What an API's process counts of itself."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

from domain import metrics
from domain.exposition import Family
from domain.ids import is_ephemeral
from domain.jobs import Job
from domain.prompts import Admission


class Figures:
    """Counts. Safe to use from many threads; an admission costs a microsecond or two."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._admitted: Counter[tuple[str, str]] = Counter()
        self._ended: Counter[tuple[str, str]] = Counter()

    def admitted(self, admission: Admission) -> None:
        """Count a prompt that was taken, or known already."""
        with self._lock:
            self._admitted[kind_of(admission.session.id), admission.disposition] += 1

    def ended(self, jobs: Sequence[Job]) -> None:
        """Count jobs that ended here, without a worker."""
        with self._lock:
            for job in jobs:
                self._ended[kind_of(job.session_id), job.state] += 1

    def families(self) -> Iterator[Family]:
        """Return what was counted."""
        with self._lock:
            admitted, ended = dict(self._admitted), dict(self._ended)
        yield Family(metrics.ADMITTED, [metrics.ADMITTED.sample(number, *key) for key, number in admitted.items()])
        yield Family(metrics.JOBS_ENDED, [metrics.JOBS_ENDED.sample(number, *key) for key, number in ended.items()])


def kind_of(session_id: str) -> str:
    """Tell whether a session is `durable` or `ephemeral`."""
    return "ephemeral" if is_ephemeral(session_id) else "durable"
