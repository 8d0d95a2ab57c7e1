"""The rows of the benchmark, by the names that a command takes."""

from collections.abc import Callable

from benchmarks.figures import Report
from benchmarks.ground import Ground
from benchmarks.rows import answer, drain, events, history, memory, post, seconds

ROWS: dict[str, Callable[[Ground], Report]] = {
    "post": post.measure,
    "drain": drain.measure,
    "seconds": seconds.measure,
    "answer": answer.measure,
    "memory": memory.measure,
    "history": history.measure,
    "events": events.measure,
}
