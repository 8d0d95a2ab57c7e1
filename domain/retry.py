"""When a failed attempt is repeated. The one rule for it: nothing else in promptq retries a prompt."""

from __future__ import annotations

from domain.clock import Millis

FIRST_DELAY_MS: Millis = 1_000
LONGEST_DELAY_MS: Millis = 60_000
LONGEST_RETRY_AFTER_MS: Millis = 3_600_000


def delay(charges: int, jitter: float, retry_after_ms: Millis | None = None) -> Millis:
    """Decide how long a job waits before its next attempt.

    Full jitter: uniform between nothing and a ceiling that starts at one second, doubles with every charge and stays
    at one minute (Marc Brooker, "Exponential Backoff And Jitter"; it spreads a herd best). A provider's `Retry-After`
    is a floor under it, taken up to an hour.

    Args:
        charges: the attempts charged so far, this one included; at least 1.
        jitter: a random number, at least 0 and below 1.
        retry_after_ms: what the provider asked for, if it did.
    """
    ceiling = min(LONGEST_DELAY_MS, FIRST_DELAY_MS << min(charges - 1, 16))
    floor = min(retry_after_ms or 0, LONGEST_RETRY_AFTER_MS)
    return floor + round(jitter * ceiling)
