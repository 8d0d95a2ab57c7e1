"""The prompts of the suite: the same whoever asks, and said to fail exactly when they must."""

import random
from collections import Counter

import pytest

from tests.faults.prompts import POISON, POISON_LIMIT, Asked, Kind, asked, kind_of, pick


def test_rivals_ask_for_the_same() -> None:
    assert asked("ses_a", 1, 20, deadly=0.5) == asked("ses_a", 1, 20, deadly=0.5)
    assert asked("ses_a", 1, 20) != asked("ses_a", 2, 20)


@pytest.mark.parametrize("kind", Kind)
def test_a_prompt_tells_its_kind(kind: Kind) -> None:
    wanted = Asked("ses_a", 1, "key", by_message_id=False, kind=kind, marker="marked")
    assert kind_of(wanted.text) is kind
    assert wanted.text.endswith("marked")


@pytest.mark.parametrize("kind", Kind)
def test_only_what_must_fail_is_said_to_fail(kind: Kind) -> None:
    wish = Asked("ses_a", 1, "key", by_message_id=False, kind=kind).wish()
    assert ("failed" in wish.states) == (kind in POISON | {Kind.REFUSED})
    assert wish.charges == (POISON_LIMIT if kind in POISON else None)


def test_what_takes_workers_along_can_be_left_out() -> None:
    chance = random.Random(1)
    kinds = Counter(pick(chance, deadly=0) for _ in range(5_000))
    assert set(kinds) == set(Kind) - {Kind.MEMORY, Kind.KILLING, Kind.BLOCKING}
    assert kinds[Kind.PLAIN] > 4_000
