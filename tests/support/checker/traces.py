"""I8: no trace of an ephemeral session's content where none may be."""

from collections.abc import Iterator

from tests.support.checker.violation import Violation
from tests.support.history import History


def _traces(history: History) -> Iterator[Violation]:
    for trace in history.traces:
        yield Violation("I8", f"content of an ephemeral session is in {trace.place}", (trace.excerpt,))


CHECKS = (_traces,)
