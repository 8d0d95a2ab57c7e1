"""Reads a history and reports every broken invariant, each with its evidence.

| | invariant | checked in |
|---|---|---|
| I1 | every prompt that was answered 2xx reaches exactly one terminal state, in time | `promises`, `ephemeral` |
| I2 | at most one committed answer per prompt: that of its last attempt, whole | `answers` |
| I3 | a session's prompts are answered as admitted; the model was shown the committed history, in order | `order` |
| I4 | never two holders of a valid lease in one session | `leases` |
| I5 | attempt numbers only rise | `leases` |
| I6 | the same idempotency key gives the same job | `keys` |
| I7 | what a client assembled from a resumed event stream equals the stored answer | `streams` |
| I8 | nothing of an ephemeral session's content is anywhere but in Redis, and there not for good | `traces` |
| rows | what the table of faults asks besides, by the number of its row | `rows` |

It believes none of the sides: what each says is held against what the others say.
"""

from tests.support.checker import answers, ephemeral, keys, leases, order, promises, rows, streams, traces
from tests.support.checker.violation import Violation
from tests.support.history import History

__all__ = ["Violation", "assert_holds", "violations"]

_CHECKS = (
    *promises.CHECKS,
    *answers.CHECKS,
    *order.CHECKS,
    *leases.CHECKS,
    *keys.CHECKS,
    *streams.CHECKS,
    *rows.CHECKS,
)
_OF_ALL = (*ephemeral.CHECKS, *traces.CHECKS)
"""Those that look at ephemeral sessions also where Redis has lost them."""


def violations(history: History) -> list[Violation]:
    """Find all that is broken, by invariant."""
    sound = ephemeral.without_lost(history)
    found = [violation for check in _CHECKS for violation in check(sound)]
    found += [violation for check in _OF_ALL for violation in check(history)]
    return sorted(found, key=lambda violation: violation.invariant)


def assert_holds(history: History) -> None:
    """Fail with every violation in words."""
    found = violations(history)
    assert not found, "\n".join([f"{len(found)} violations ({history.note})", *map(str, found)])
