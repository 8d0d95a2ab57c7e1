"""What this server offers to OpenCode's clients: models, and how it treats sessions that are not there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fastapi import Request

from api.calls import Call, Location
from domain.clock import Millis, millis, system_clock
from domain.creation import new_session
from domain.errors import SessionNotFound
from domain.models import Catalog
from domain.sessions import Creation, Session
from domain.settings import Settings


@dataclass(frozen=True)
class Offer:
    """Made once by each process."""

    catalog: Catalog
    #: `provider/model` of prompts that name none.
    default_model: str
    #: Whether a session that is not there is shown as it would be made.
    virtual_sessions: bool
    #: How long a session of an unattended run outlives its latest activity, in the ephemeral view.
    run_ttl_ms: Millis

    @classmethod
    def of(cls, settings: Settings, catalog: Catalog) -> Offer:
        """Read it from what the operator has set."""
        return cls(catalog, settings.model, settings.virtual_sessions, millis(settings.ephemeral_run_ttl))

    @property
    def models(self) -> dict[str, list[str]]:
        """The models that have names, by provider; of a provider that takes any, at least the default one."""
        named: dict[str, list[str]] = {}
        for full in _unique([*self.catalog.known, self.default_model]):
            provider, _, model = full.partition("/")
            named.setdefault(provider, []).extend([] if model == "*" else [model])
        return named

    def session(self, call: Call, session_id: str, where: Location) -> Session:
        """Return a session; with virtual sessions, one that is not there as a prompt would make it. Writes nothing.

        Raises:
            SessionNotFound: it is not there, and not to be imagined.
        """
        try:
            return call.means.store.session(call.tenant, session_id)
        except SessionNotFound:
            if not self.virtual_sessions:
                raise
        creation = Creation(session_id, directory=where.directory or "/", workspace_id=where.workspace)
        return new_session(call.tenant, creation, system_clock())


def offer_of(request: Request) -> Offer:
    """Return the offer of the application that a request came to."""
    offer: Offer = request.app.state.offer
    return offer


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
