"""Which models prompts may name: those that an executor answers for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from domain.errors import ModelUnknown

OFFLINE: Mapping[str, Collection[str]] = {"echo": ("echo",)}
"""Providers whose models promptq knows by name. Of any other provider it takes any name, and the provider decides."""


class Catalog:
    """The models that this server takes, as `provider/model`."""

    def __init__(self, providers: Collection[str]) -> None:
        """Make a catalog.

        Args:
            providers: the names of the executors that are installed.
        """
        self._providers = frozenset(providers)

    @property
    def known(self) -> list[str]:
        """What there is, for people: `echo/echo`, `openai/*`."""
        return sorted(
            f"{provider}/{model}" for provider in self._providers for model in sorted(OFFLINE.get(provider, ("*",)))
        )

    def check(self, provider: str, model: str) -> str:
        """Return a model's full name, `provider/model`.

        Raises:
            ModelUnknown: no executor answers for it.
        """
        full = f"{provider}/{model}"
        if not model or provider not in self._providers or model not in OFFLINE.get(provider, (model,)):
            raise ModelUnknown(full, self.known)
        return full

    def check_name(self, full: str) -> str:
        """Check a name that is written `provider/model`; the provider ends at the first slash."""
        provider, _, model = full.partition("/")
        return self.check(provider, model)
