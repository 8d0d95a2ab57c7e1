"""What a run came to, in numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.support.checker import Violation
from tests.support.history import History, is_ephemeral


@dataclass
class Figures:
    """Sums over the rounds of a run."""

    database: str
    seed: int
    rounds: int = 0
    seconds: float = 0.0
    prompts: int = 0
    ephemeral: int = 0
    #: Requests that were refused, and those that broke.
    refused: int = 0
    broken: int = 0
    #: Attempts beyond a prompt's first, by how the one before ended.
    reruns: Counter[str] = field(default_factory=Counter)
    fenced: int = 0
    deadlocks: int = 0
    poison: int = 0
    streamed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    #: Processes that have ended, and those of them that found that they could not go on.
    deaths: int = 0
    gave_up: int = 0
    #: Rounds after which Flower was looked into.
    flower: int = 0
    violations: list[Violation] = field(default_factory=list)

    def add(self, history: History, found: Sequence[Violation]) -> None:
        """Count a round."""
        self.rounds += 1
        kept = {(each.session, each.key) for each in history.submissions if each.is_kept}
        self.prompts += len(kept)
        self.ephemeral += sum(is_ephemeral(session) for session, _ in kept)
        self.refused += sum(each.status is not None and not each.is_kept for each in history.submissions)
        self.broken += sum(each.status is None for each in history.submissions)
        for job in history.jobs:
            self.reruns.update(attempt.outcome for attempt in job.attempts if attempt.number < job.attempt)
        poison = {(wish.session, wish.key) for wish in history.wishes if wish.charges is not None}
        self.poison += len(poison & kept)
        self.streamed += len(history.assembled)
        self.faults.update(fault.kind for fault in history.faults)
        self.violations += found

    def __str__(self) -> str:
        lines = [
            f"{self.database}, seed {self.seed}: {self.rounds} rounds, {self.seconds:.0f} s",
            f"  prompts kept       {self.prompts} ({self.ephemeral} ephemeral, {self.poison} poison)",
            f"  requests refused   {self.refused}, broken {self.broken}",
            f"  attempts repeated  {sum(self.reruns.values())} ({_counts(self.reruns)})",
            f"  ends fenced        {self.fenced}",
            f"  answers streamed   {self.streamed}",
            f"  processes ended    {self.deaths} (of themselves {self.gave_up})",
            f"  faults             {sum(self.faults.values())} ({_counts(self.faults)})",
        ]
        if self.database == "postgres":
            lines.append(f"  deadlocks undone   {self.deadlocks}")
        broken = Counter(violation.invariant for violation in self.violations)
        return "\n".join([*lines, f"  violations         {len(self.violations)} ({_counts(broken)})"])


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counted.most_common())
