"""How long ephemeral sessions live."""

from __future__ import annotations

from domain.clock import Millis
from domain.sessions import Session

LONGEST_OPEN_MS: Millis = 7 * 86_400_000
"""How long an ephemeral session stays while it has an open job, whatever its TTL."""

LONGEST_TTL_MS: Millis = 604_800_000
SHORTEST_TTL_MS: Millis = 1_000


def lifetime(session: Session, default_ttl_ms: Millis) -> Millis:
    """Decide how long a session's keys live from its latest activity, which is now: its TTL, or longer while it works.

    Args:
        session: as it is after the change.
        default_ttl_ms: the TTL of sessions that were given none.
    """
    return LONGEST_OPEN_MS if session.open_total else session.ttl_ms or default_ttl_ms
