"""What the checker says of a broken invariant, and how it puts things that belong together side by side."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tests.support.history import History

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Violation:
    """A broken invariant."""

    invariant: str
    what: str
    evidence: tuple[object, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"{self.invariant}: {self.what}", *map(str, self.evidence)])


Check = Callable[[History], Iterator[Violation]]


def grouped(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for value in values:
        groups[key(value)].append(value)
    return dict(groups)


def words(given: Iterable[str]) -> str:
    return ", ".join(sorted(given))
