"""The mutations fit the code as it is. That the suite finds each of them out is for `./run faults --mutations`."""

from pathlib import Path

import pytest

from tests.faults import plan
from tests.faults.mutations.catalogue import MUTANTS
from tests.faults.mutations.mutant import Edit, Mutant, TextGone, apply
from tests.faults.mutations.running import Verdict

ROOT = Path(__file__).parents[3]


def tree_of(mutant: Mutant, directory: Path) -> Path:
    """A copy of the files that a mutation breaks."""
    for edit in mutant.edits:
        copy = directory / edit.path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((ROOT / edit.path).read_bytes())
    return directory


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_code_has_what_a_mutation_breaks(mutant: Mutant, tmp_path: Path) -> None:
    tree = tree_of(mutant, tmp_path)
    apply(mutant, tree)
    for edit in mutant.edits:
        assert (tree / edit.path).read_bytes() != (ROOT / edit.path).read_bytes()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_faults_that_bring_a_mutation_out_are_there(mutant: Mutant) -> None:
    there = {deed.kind for deed in plan.of(mutant.database)} | {"nothing"}
    assert set(mutant.only) <= there


def test_a_mutation_whose_text_is_gone_says_so(tmp_path: Path) -> None:
    gone = Mutant("gone", [Edit("domain/clock.py", "no such text", "")], frozenset(), "sqlite")
    with pytest.raises(TextGone, match=r"gone: domain/clock\.py has 0 × 'no such text', not 1"):
        apply(gone, tree_of(gone, tmp_path))


def test_a_mutant_is_caught_only_for_what_it_breaks() -> None:
    mutant = Mutant("any", [], frozenset({"I1"}), "sqlite")
    assert Verdict(mutant, {"I1", "I7"}, "", 1, "").is_caught
    assert not Verdict(mutant, {"I7"}, "", 1, "").is_caught
    assert not Verdict(mutant, set(), "", 1, "").is_caught
