"""Ephemeral sessions: promises that hold while Redis keeps its data.

Nothing of them is in the store at the end, so their clients say what they saw of each prompt, and what their session
held when all of its prompts had ended.
"""

from collections.abc import Iterator
from dataclasses import replace

from tests.support.checker.violation import Violation, grouped
from tests.support.history import History, Sighting, Submission, is_ephemeral


def without_lost(history: History) -> History:
    """Leave out the ephemeral sessions that were not read at their end, or that Redis lost on the way."""
    read = {prompt.session for prompt in history.prompts}
    spans: dict[str, tuple[int, int]] = {}
    requests: list[Submission | Sighting] = [*history.submissions, *history.sightings]
    for each in requests:
        if is_ephemeral(each.session):
            since, until = spans.get(each.session, (each.sent, each.ended))
            spans[each.session] = min(since, each.sent), max(until, each.ended)
    out = {name for name, span in spans.items() if name not in read or _is_lost(history, span)}
    out |= {call.session for call in history.calls if is_ephemeral(call.session)} - spans.keys()
    if not out:
        return history
    return replace(
        history,
        submissions=[each for each in history.submissions if each.session not in out],
        calls=[each for each in history.calls if each.session not in out],
        jobs=[each for each in history.jobs if each.session not in out],
        prompts=[each for each in history.prompts if each.session not in out],
        answers=[each for each in history.answers if each.session not in out],
        assembled=[each for each in history.assembled if each.session not in out],
    )


def _is_lost(history: History, span: tuple[int, int]) -> bool:
    since, until = span
    return any(fault.loses_redis and fault.began <= until and fault.ended >= since for fault in history.faults)


def _seen_to_end(history: History) -> Iterator[Violation]:
    """I1: every prompt ended, in time, unless Redis lost it; and no session went while it had work."""
    seen = grouped(history.sightings, lambda each: (each.session, each.key))
    promised = [each for each in history.submissions if each.is_kept and is_ephemeral(each.session)]
    for key, submissions in grouped(promised, lambda each: (each.session, each.key)).items():
        since = min(each.sent for each in submissions)
        sightings = sorted(seen.get(key, []), key=lambda each: each.ended)
        until = max((each.ended for each in sightings), default=max(each.ended for each in submissions))
        if _is_lost(history, (since, until)):
            continue
        last = sightings[-1] if sightings else None
        if last is None or not (last.is_terminal or last.is_gone):
            yield Violation("I1", f"{key} was answered 2xx, and nobody saw it end", (*submissions, last))
        elif last.is_gone:
            # Unless it may have ended after it was last seen open, with nobody asking until its TTL was over.
            last_open = max((each.sent for each in sightings if not each.is_gone), default=since)
            if last.ended - last_open < (last.ttl_ms or 0):
                yield Violation("I1", f"{key} went with its session before its end", (submissions[0], *sightings[-2:]))
        elif last.ended > max(since, history.last_fault or since) + history.within_ms:
            yield Violation("I1", f"{key} was seen to end too late", (submissions[0], last, history.last_fault))


CHECKS = (_seen_to_end,)
