"""Which executor answers for a model. Each is loaded when it is first needed, once in a worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from importlib.metadata import entry_points

from domain.models import Catalog
from domain.settings import Settings
from executors.base import ENTRY_POINTS, Executor, ExecutorFactory, PermanentError, TransientError

log = logging.getLogger(__name__)


def provider_of(model: str) -> str:
    """Return the part of `provider/model` before the first slash."""
    return model.partition("/")[0]


def installed() -> Catalog:
    """Return the models that prompts may name: those of the executors that are installed."""
    return Catalog({point.name for point in entry_points(group=ENTRY_POINTS)})


class Executors:
    """The executors of one worker, used from one event loop."""

    def __init__(self, settings: Settings, factories: Mapping[str, ExecutorFactory] | None = None) -> None:
        """Make an empty registry; `factories`, by provider, come before the installed entry points."""
        self._settings = settings
        self._factories = dict(factories or {})
        self._loaded: dict[str, Executor] = {}
        self._loading = asyncio.Lock()

    def loaded(self, model: str) -> Executor | None:
        """Return the executor for a model if it has been loaded: the quick way."""
        return self._loaded.get(provider_of(model))

    async def load(self, model: str) -> Executor:
        """Return the executor for a model, loading it in a thread if it is the first time.

        Raises:
            PermanentError: (`model_unknown`) no executor answers for the provider.
            TransientError: (`executor_unavailable`) it is there but cannot be loaded in this worker.
        """
        provider = provider_of(model)
        async with self._loading:
            executor = self._loaded.get(provider)
            if executor is None:
                executor = await asyncio.to_thread(self._make, provider)
                self._loaded[provider] = executor
        return executor

    async def aclose(self) -> None:
        """Close all that were loaded."""
        while self._loaded:
            _, executor = self._loaded.popitem()
            await executor.aclose()

    def _make(self, provider: str) -> Executor:
        factory = self._factories.get(provider) or _installed(provider)
        return factory(self._settings)


def _installed(provider: str) -> ExecutorFactory:
    found = [point for point in entry_points(group=ENTRY_POINTS) if point.name == provider]
    if not found:
        raise PermanentError("model_unknown", f"no executor answers for the provider {provider!r}")
    try:
        factory: ExecutorFactory = found[0].load()
    except (ImportError, AttributeError) as error:
        log.exception("executor_unavailable", extra={"provider": provider})
        raise TransientError("executor_unavailable", f"this worker cannot load {provider!r}") from error
    return factory
