"""What the rows of the table of faults ask besides the invariants."""

import itertools
from collections.abc import Iterator

from tests.support.checker.violation import Violation, grouped
from tests.support.history import History

LONGEST_REQUEST_MS = 10_000
"""Row 6: of a request that waits for no answer, whatever Redis does."""

EXPECTED_STATUSES = frozenset({200, 204, 429, 503})


def _refused_politely(history: History) -> Iterator[Violation]:
    """Row 8: what cannot be kept now is refused with a time to come again, and never with anything else."""
    for each in history.submissions:
        if each.status is not None and each.status not in EXPECTED_STATUSES:
            yield Violation("row 8", f"a prompt was answered {each.status}", (each,))
        elif each.status == 503 and not each.retry_after:
            yield Violation("row 8", "a 503 without Retry-After", (each,))


def _answered_soon(history: History) -> Iterator[Violation]:
    """Row 6: trouble with Redis (or with the database) makes nobody wait."""
    for each in history.submissions:
        took = each.ended - each.sent
        if not each.waited and each.status is not None and took > LONGEST_REQUEST_MS + history.slack_ms:
            yield Violation("row 6", f"a request took {took} ms", (each,))


def _poison_alone(history: History) -> Iterator[Violation]:
    """Row 9: prompts fail that must, and no others; and they fail at exactly their limit."""
    jobs = {job.id: job for job in history.jobs}
    of_key = {(prompt.session, prompt.key): prompt for prompt in history.prompts}
    for wish in history.wishes:
        prompt = of_key.get((wish.session, wish.key))
        job = jobs.get(prompt.job) if prompt is not None else None
        if job is None or not job.is_terminal:
            continue
        if job.state not in wish.states:
            yield Violation("row 9", f"{job.id} ({wish.kind}) ended {job.state}", (wish, job))
        elif wish.charges is not None and job.charges != wish.charges:
            yield Violation("row 9", f"{job.id} ({wish.kind}) ended after {job.charges} charges", (wish, job))


def _asked_again_later(history: History) -> Iterator[Violation]:
    """Row 14: a provider's Retry-After is kept."""
    jobs = {job.id: job for job in history.jobs}
    for call in history.calls:
        job = jobs.get(call.job)
        if job is None or not call.retry_after_ms:
            continue
        for one, other in itertools.pairwise(job.attempts):
            is_early = other.started < one.ended + call.retry_after_ms
            if one.number == call.attempt and one.outcome == "transient" and is_early:
                yield Violation("row 14", f"{job.id} was tried again before its Retry-After", (call, one, other))


def _heard_again(history: History) -> Iterator[Violation]:
    """Row 4 and 6: all workers consume again in time, and none has ended over it."""
    for fault in history.faults:
        if fault.complaint:
            yield Violation(fault.row, f"after {fault.kind}: {fault.complaint}", (fault,))


def _repeated_for_cause(history: History) -> Iterator[Violation]:
    """Row 12: where workers were only asked to end, nothing was lost."""
    if not history.is_gentle:
        return
    for job in history.jobs:
        if any(attempt.outcome in {"lost", "returned"} for attempt in job.attempts):
            yield Violation("row 12", f"{job.id} lost a worker that was asked to end, and had the time", (job,))


def _settled(history: History) -> Iterator[Violation]:
    """Row 12: a caller's wish to cancel is the only reason for which a job ends cancelled."""
    wished = {(wish.session, wish.key) for wish in history.wishes if "cancelled" in wish.states}
    keys = grouped(history.prompts, lambda each: each.job)
    for job in history.jobs:
        for prompt in keys.get(job.id, ()):
            if job.state == "cancelled" and (prompt.session, prompt.key) not in wished and history.wishes:
                yield Violation("row 12", f"{job.id} was cancelled, and nobody asked for it", (job, prompt))


CHECKS = (
    _refused_politely,
    _answered_soon,
    _poison_alone,
    _asked_again_later,
    _heard_again,
    _repeated_for_cause,
    _settled,
)
