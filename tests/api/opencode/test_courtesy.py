"""A prompt of `opencode run` waits for the stream that its answer is read from; nobody else's waits for anything."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.calls import Call
from api.opencode import courtesy
from api.opencode.courtesy import Courtesy


def a_call(agent: str = "opencode/1.18.33", host: str = "127.0.0.1", tenant: str = "default") -> Call:
    request = SimpleNamespace(headers={"user-agent": agent}, client=SimpleNamespace(host=host))
    return cast("Call", SimpleNamespace(tenant=tenant, request=request))


class Joining:
    """A stream that opens when the test says so."""

    def __init__(self) -> None:
        self.may_open = asyncio.Event()
        self.left = False

    async def join(self) -> Callable[[], None]:
        await self.may_open.wait()
        return self.leave

    def leave(self) -> None:
        self.left = True


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a stream does come, wait for it however slow the machine is."""
    monkeypatch.setattr(courtesy, "APPEAR_S", 30.0)
    monkeypatch.setattr(courtesy, "OPEN_S", 30.0)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_prompt_waits_until_its_callers_stream_is_open() -> None:
    async def scenario() -> None:
        kind, joining = Courtesy(), Joining()
        prompt = asyncio.create_task(kind.before(a_call()))
        await settle()
        assert not prompt.done()
        stream = asyncio.create_task(kind.stream(a_call(), joining.join()))
        await settle()
        assert not prompt.done()
        joining.may_open.set()
        leave = await stream
        await prompt
        leave()
        assert joining.left
        assert not kind._open
        assert not kind._opening

    asyncio.run(scenario())


def test_a_prompt_whose_caller_watches_already_waits_for_streams_that_are_only_just_opening() -> None:
    async def scenario() -> None:
        kind, open_one, new_one = Courtesy(), Joining(), Joining()
        open_one.may_open.set()
        await kind.stream(a_call(), open_one.join())
        stream = asyncio.create_task(kind.stream(a_call(), new_one.join()))
        prompt = asyncio.create_task(kind.before(a_call()))
        await asyncio.sleep(2 * courtesy.AT_ONCE_S)
        assert not prompt.done()
        new_one.may_open.set()
        await stream
        await prompt

    asyncio.run(scenario())


def test_a_stream_that_cannot_be_opened_holds_nobody_up() -> None:
    async def broken() -> Callable[[], None]:
        raise RuntimeError

    async def scenario() -> None:
        kind = Courtesy()
        with pytest.raises(RuntimeError):
            await kind.stream(a_call(), broken())
        assert not kind._opening

    asyncio.run(scenario())


def test_a_prompt_without_a_stream_is_kept_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "APPEAR_S", 0.01)
    asyncio.run(Courtesy().before(a_call()))


@pytest.mark.parametrize("more", [{"agent": "curl/8"}, {"agent": "Bun/1.3"}])
def test_other_programs_never_wait(more: dict[str, Any]) -> None:
    async def scenario() -> None:
        kind = Courtesy()
        before = asyncio.create_task(kind.before(a_call(**more)))
        after = asyncio.create_task(kind.after(a_call(**more)))
        await settle()
        assert before.done()
        assert after.done()

    asyncio.run(scenario())


def test_one_caller_does_not_wait_for_anothers_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courtesy, "APPEAR_S", 0.01)

    async def scenario() -> None:
        kind, slow = Courtesy(), Joining()
        for other in (a_call(tenant="two"), a_call(host="10.0.0.1")):
            stream = asyncio.create_task(kind.stream(other, slow.join()))
            await settle()
            await kind.before(a_call())
            stream.cancel()
            await asyncio.wait([stream])

    asyncio.run(scenario())
