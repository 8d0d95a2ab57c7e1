"""What a run does: the short form every kind of fault once, the long one by weight."""

import itertools
import random
from collections import Counter

import pytest

from tests.faults import plan
from tests.faults.plan import LANES

DATABASES = ("sqlite", "postgres")


@pytest.mark.parametrize("database", DATABASES)
def test_the_short_form_does_every_deed_once(database: str) -> None:
    chance = random.Random(1)
    done = Counter(deed.kind for each in plan.short(database) for lane in LANES for deed in each.lane(lane, chance))
    assert done == {deed.kind: 1 for deed in plan.of(database)}


@pytest.mark.parametrize("database", DATABASES)
def test_no_deed_is_in_a_lane_that_nobody_goes_through(database: str) -> None:
    assert {deed.lane for deed in plan.of(database)} == set(LANES)


def test_the_short_form_begins_with_what_costs_nothing() -> None:
    first, *others = plan.short("postgres")
    assert first.is_gentle
    assert not any(other.is_gentle for other in others)


def test_the_long_form_does_each_as_often_as_it_weighs() -> None:
    (whole,) = plan.long("postgres", 1)
    weights = {deed.kind: deed.weight for deed in whole.deeds if deed.lane == "workers"}
    dealt = itertools.islice(whole.lane("workers", random.Random(1)), sum(weights.values()))
    assert Counter(deed.kind for deed in dealt) == weights


def test_the_long_form_is_as_long_as_it_is_told() -> None:
    assert [each.seconds for each in plan.long("sqlite", 3)] == [75, 75, 30]
    assert sum(each.seconds for each in plan.long("sqlite", 0.5)) == 30
