"""What is told of a job is told in order, whoever tells it."""

import pytest

from domain import events
from domain.events import Bundle, Order, Stage
from tests.domain.makers import a_session, running

JOB = ("default", "job_1")


def told(*steps: tuple[int, Stage]) -> list[tuple[int, Stage]]:
    """Those of these (attempt, stage) that are told."""
    order = Order()
    return [(attempt, stage) for attempt, stage in steps if order.takes(*JOB, attempt, stage)]


def test_a_life_in_order_is_told_whole() -> None:
    life = [
        (0, Stage.ADMITTED),
        (1, Stage.BEGUN),
        (1, Stage.GROWN),
        (1, Stage.GROWN),
        (1, Stage.LEFT),
        (2, Stage.BEGUN),
        (2, Stage.ENDED),
    ]
    assert told(*life) == life


@pytest.mark.parametrize(
    ("before", "late"),
    [
        ((1, Stage.BEGUN), (0, Stage.ADMITTED)),
        ((1, Stage.LEFT), (1, Stage.GROWN)),
        ((2, Stage.BEGUN), (1, Stage.LEFT)),
        ((1, Stage.ENDED), (1, Stage.ENDED)),
        ((0, Stage.ENDED), (1, Stage.BEGUN)),
    ],
)
def test_what_comes_late_is_left_out(before: tuple[int, Stage], late: tuple[int, Stage]) -> None:
    assert told(before, late) == [before]


def test_what_is_of_no_job_is_always_told() -> None:
    order = Order()
    assert all(order.takes("default", None, 0, Stage.ADMITTED) for _ in range(3))
    assert not order.knows("default", None)


def test_jobs_are_apart_and_only_the_latest_are_remembered() -> None:
    order = Order(most=2)
    for number in range(3):
        assert order.takes("default", f"job_{number}", 1, Stage.ENDED)
    assert not order.has_ended("default", "job_0")
    assert order.has_ended("default", "job_2")
    assert order.takes("other", "job_2", 1, Stage.ENDED)


def test_a_bundle_says_which_session_and_job_it_is_about() -> None:
    session, job = running(a_session())
    bundle = Bundle.of(session, [events.connected()]).about(job, Stage.GROWN)
    assert (bundle.tenant, bundle.session_id, bundle.incarnation) == (session.tenant, session.id, session.incarnation)
    assert (bundle.job_id, bundle.attempt, bundle.stage) == (job.id, 1, Stage.GROWN)
