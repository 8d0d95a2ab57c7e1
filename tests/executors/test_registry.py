"""Finding the executor for a model."""

import asyncio

import pytest

from domain.settings import Settings
from executors.base import PermanentError
from executors.echo import EchoExecutor
from executors.registry import Executors


def test_an_installed_executor_is_found_by_the_models_provider_and_made_once() -> None:
    async def both() -> None:
        executors = Executors(Settings())
        assert executors.loaded("echo/echo") is None
        first, second = await asyncio.gather(executors.load("echo/echo"), executors.load("echo/another"))
        assert isinstance(first, EchoExecutor)
        assert first is second is executors.loaded("echo/echo")
        await executors.aclose()

    asyncio.run(both())


@pytest.mark.parametrize("model", ["nobody/nothing", "nothing", "", "/"])
def test_a_model_that_nobody_answers_for_fails_for_good(model: str) -> None:
    async def load() -> None:
        await Executors(Settings()).load(model)

    with pytest.raises(PermanentError) as caught:
        asyncio.run(load())
    assert caught.value.code == "model_unknown"


def test_a_given_factory_comes_before_an_installed_one() -> None:
    made = EchoExecutor(Settings())

    async def load() -> object:
        return await Executors(Settings(), {"echo": lambda _: made}).load("echo/echo")

    assert asyncio.run(load()) is made
