"""`./run faults --mutations`: each mutant is run by the suite in a copy of the tree, until the checker finds it out."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.faults.mutations.mutant import Mutant, apply, copy_tree
from tests.support.commands import clean_environment

#: Short rounds: what is broken shows soon, and is found at the end of a round.
ROUND_S = 30

#: As a run tells them; the last line with figures has them all.
_VIOLATION = re.compile(r"^  (I[1-8]|row \d+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """What the suite said of a mutant."""

    mutant: Mutant
    #: The invariants that it found broken, and the first finding in words.
    broken: Collection[str]
    first: str
    seconds: float
    output: str

    @property
    def is_caught(self) -> bool:
        """Whether it was found out for what it is: something else that is broken does not count."""
        return bool(self.mutant.shows_in & set(self.broken))

    def __str__(self) -> str:
        word = "caught" if self.is_caught else "NOT CAUGHT"
        found = ", ".join(sorted(self.broken)) or "nothing"
        return f"{word:>10}  {self.mutant.name}: {found} in {self.seconds:.0f} s ({self.first[:140]})"


def judge(mutant: Mutant, seed: int) -> Verdict:
    """Run one mutant."""
    with tempfile.TemporaryDirectory(prefix="promptq-mutant-") as name:
        tree = Path(name)
        tree.chmod(0o711)
        copy_tree(tree)
        apply(mutant, tree)
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults", *_arguments(mutant, seed)],
            cwd=tree,
            env={**clean_environment(), "PYTHONPATH": str(tree)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    found = _VIOLATION.findall(done.stdout) if done.returncode == 1 else []
    fitting = [what for invariant, what in found if invariant in mutant.shows_in]
    first = (fitting or [what for _, what in found] or [done.stdout[-400:]])[0]
    return Verdict(mutant, {invariant for invariant, _ in found}, first, time.monotonic() - began, done.stdout)


def judge_all(mutants: Sequence[Mutant], seed: int, say: Callable[[str], None]) -> bool:
    """Run mutants, one after another; returns whether all were caught."""
    missed = []
    for mutant in mutants:
        verdict = judge(mutant, seed)
        say(str(verdict))
        if not verdict.is_caught:
            missed.append(mutant.name)
            say(verdict.output)
    say(f"{len(mutants) - len(missed)} of {len(mutants)} mutants caught (seed {seed})")
    return not missed


def _arguments(mutant: Mutant, seed: int) -> list[str]:
    words = ["--database", mutant.database, "--seed", str(seed), "--minutes", str(mutant.minutes), "--until-broken"]
    words += ["--round", str(ROUND_S), "--deadly", str(mutant.deadly)]
    words += ["--good-limit", "3"] if mutant.poisoned else []
    return words + [word for fault in mutant.only for word in ("--only", fault)]
