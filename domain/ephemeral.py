"""How long ephemeral sessions live."""

from __future__ import annotations

from domain.clock import Millis
from domain.errors import InvalidRequest
from domain.prompts import Prompt
from domain.sessions import Session

LONGEST_OPEN_MS: Millis = 7 * 86_400_000
"""How long an ephemeral session stays while it has an open job, whatever its TTL."""


def check_times(prompt: Prompt, now: Millis) -> None:
    """Refuse a prompt that would have to wait for longer than its session can be kept.

    Raises:
        InvalidRequest: its `notBefore` is more than seven days ahead.
    """
    if prompt.not_before is not None and prompt.not_before > now + LONGEST_OPEN_MS:
        raise InvalidRequest(
            "notBefore: an ephemeral session is kept for seven days at most; this is further ahead", field="notBefore"
        )


def lifetime(session: Session, default_ttl_ms: Millis) -> Millis:
    """Decide how long a session's keys live from its latest activity, which is now: its TTL, or longer while it works.

    Args:
        session: as it is after the change.
        default_ttl_ms: the TTL of sessions that were given none.
    """
    return LONGEST_OPEN_MS if session.open_total else session.ttl_ms or default_ttl_ms
