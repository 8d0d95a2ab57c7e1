"""What every executor keeps (`executors.base`)."""

import asyncio
from contextlib import suppress

import pytest

from executors.base import Event, PermanentError, StepFinish, TextDelta, TransientError
from executors.folding import Folding
from tests.executors.conftest import Subject
from tests.executors.requests import NOW, events_of


async def collect(subject: Subject, seen: list[Event], begun: asyncio.Event) -> None:
    async for event in subject.executor.run(subject.stalling):
        seen.append(event)
        begun.set()


def test_an_answer_comes_in_pieces_and_ends_with_the_end_of_a_step(subject: Subject) -> None:
    events = asyncio.run(events_of(subject.executor, subject.answering))
    assert sum(isinstance(event, TextDelta) for event in events) > 1
    assert isinstance(events[-1], StepFinish)
    assert events[-1].reason
    assert events[-1].usage.output > 0


def test_an_answer_folds_into_the_parts_of_a_message(subject: Subject) -> None:
    folding = Folding(lambda: NOW)
    for event in asyncio.run(events_of(subject.executor, subject.answering)):
        folding.add(event)
    assert folding.is_whole
    types = [part["type"] for part in folding.parts()]
    assert (types[0], types[-1]) == ("step-start", "step-finish")
    assert "text" in types


def test_many_prompts_are_answered_at_once(subject: Subject) -> None:
    async def both() -> list[list[Event]]:
        return await asyncio.gather(*(events_of(subject.executor, subject.answering) for _ in range(8)))

    first, *others = asyncio.run(both())
    assert all(other == first for other in others)


def test_one_that_is_cancelled_lets_go_soon_and_leaves_what_it_said(subject: Subject) -> None:
    async def cancelled() -> list[Event]:
        seen: list[Event] = []
        begun = asyncio.Event()
        task = asyncio.create_task(collect(subject, seen, begun))
        await begun.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            async with asyncio.timeout(2):
                await task
        assert task.cancelled()
        return seen

    seen = asyncio.run(cancelled())
    assert not any(isinstance(event, StepFinish) for event in seen)


def test_one_that_takes_too_long_can_be_timed_out(subject: Subject) -> None:
    async def timed_out() -> None:
        async with asyncio.timeout(0.05):
            await events_of(subject.executor, subject.stalling)

    with pytest.raises(TimeoutError):
        asyncio.run(timed_out())


def test_an_error_that_a_repeat_may_not_meet_is_transient(subject: Subject) -> None:
    with pytest.raises(TransientError) as caught:
        asyncio.run(events_of(subject.executor, subject.failing))
    assert caught.value.code


def test_an_error_that_a_repeat_would_meet_is_permanent(subject: Subject) -> None:
    with pytest.raises(PermanentError) as caught:
        asyncio.run(events_of(subject.executor, subject.failing_for_good))
    assert caught.value.code


def test_it_can_be_closed_when_nothing_runs(subject: Subject) -> None:
    async def answered_and_closed() -> None:
        await events_of(subject.executor, subject.answering)
        await subject.executor.aclose()

    asyncio.run(answered_and_closed())
