"""The Redis channels and keys of notices and events.

Channels, one a tenant each: `notice:TENANT` and `events:TENANT`.

Keys, which say who wants events, and keep them for those who come back:

- `watch:TENANT`: somebody wants events of the tenant; `watch:TENANT:*`: of all its sessions; `watch:TENANT:SESSION`: of
  this one, so that its history is kept too. Strings without content that expire by themselves;
- `history:TENANT:SESSION:TAG`, a stream: the latest events of one incarnation of a session. Of an ephemeral session it
  is one of the session's own keys (`storage.ephemeral.keys`), with the same expiry.
"""

from __future__ import annotations

from domain.ids import is_ephemeral, session_tag
from storage.ephemeral.keys import Keys
from storage.redis_clients import name


class Names:
    """Names channels and keys under a prefix."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._ephemeral = Keys(prefix)

    def notices(self, tenant: str) -> str:
        """The channel of a tenant's notices."""
        return name(self._prefix, "notice", tenant)

    def events(self, tenant: str) -> str:
        """The channel of a tenant's events."""
        return name(self._prefix, "events", tenant)

    def watched(self, tenant: str) -> str:
        """Whether anything of a tenant is watched."""
        return name(self._prefix, "watch", tenant)

    def watched_whole(self, tenant: str) -> str:
        """Whether all of a tenant is watched."""
        return name(self._prefix, "watch", tenant, "*")

    def watched_session(self, tenant: str, session_id: str) -> str:
        """Whether a session is watched."""
        return name(self._prefix, "watch", tenant, session_id)

    def history(self, tenant: str, session_id: str, incarnation: int) -> list[str]:
        """The stream of a session and, if it is ephemeral, the key that lives exactly as long as the session."""
        if is_ephemeral(session_id):
            place = self._ephemeral.at_session(session_id, incarnation)
            return [self._ephemeral.history(tenant, session_id, incarnation), place]
        return [name(self._prefix, "history", tenant, session_id, session_tag(session_id, incarnation))]
