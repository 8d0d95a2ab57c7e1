"""I4 and I5: a session has one holder at a time, and attempts are numbered upwards."""

import itertools
from collections.abc import Iterable, Iterator

from tests.support.checker.violation import Violation, grouped
from tests.support.history import Attempt, History, Job, Seen


def attempts_of(jobs: Iterable[Job]) -> list[tuple[Attempt, Job]]:
    """All attempts at some jobs, by when they began."""
    return sorted(((attempt, job) for job in jobs for attempt in job.attempts), key=lambda each: each[0].started)


def _leases_apart(history: History) -> Iterator[Violation]:
    """I4: by the store's record, an attempt of a session ended before the next began."""
    for session, jobs in grouped(history.jobs, lambda each: each.session).items():
        for (first, one), (second, other) in itertools.pairwise(attempts_of(jobs)):
            if first.ended > second.started:
                what = f"{session} had two holders from {second.started} to {first.ended}"
                yield Violation("I4", what, (one.id, first, other.id, second))


def _one_holder_at_a_time(history: History) -> Iterator[Violation]:
    """I4: at every look a session had one valid lease at most, and an attempt had the same holder at all of them."""
    holders: dict[tuple[str, int], str | None] = {}
    for look in history.looks:
        valid = [seen for seen in look.jobs if seen.state == "running" and (seen.lease_until or 0) > look.at]
        for session, holding in grouped(valid, lambda each: each.session).items():
            if len(holding) > 1:
                yield Violation("I4", f"{session} had {len(holding)} valid leases at {look.at}", tuple(holding))
        for seen in valid:
            holder = holders.setdefault((seen.job, seen.attempt), seen.worker)
            if holder != seen.worker:
                yield Violation("I4", f"attempt {seen.attempt} of {seen.job} had two holders", (holder, seen))


def _asked_once(history: History) -> Iterator[Violation]:
    """I4: an attempt, having one holder, asks the model once."""
    for (job_id, attempt), calls in grouped(history.calls, lambda each: (each.job, each.attempt)).items():
        if len(calls) > 1:
            yield Violation("I4", f"attempt {attempt} of {job_id} asked the model {len(calls)} times", tuple(calls))


def _rising(history: History) -> Iterator[Violation]:
    """I5: in the store's record, from look to look, and up to what it holds at the end."""
    jobs = {job.id: job for job in history.jobs}
    for job in history.jobs:
        numbers = [attempt.number for attempt in job.attempts]
        if numbers != list(range(1, len(numbers) + 1)) or job.attempt < max(numbers, default=0):
            yield Violation("I5", f"{job.id} has the attempts {numbers} and is at {job.attempt}", (job,))
    latest: dict[str, Seen] = {}
    for look in history.looks:
        for seen in look.jobs:
            before = latest.get(seen.job)
            if before is not None and seen.attempt < before.attempt:
                yield Violation("I5", f"{seen.job} went back to attempt {seen.attempt}", (before, seen))
            latest[seen.job] = seen
    made = [(seen.job, seen.attempt, seen) for seen in latest.values()]
    for job_id, attempt, evidence in (*made, *((call.job, call.attempt, call) for call in history.calls)):
        kept = jobs.get(job_id)
        if kept is not None and attempt > kept.attempt:
            yield Violation("I5", f"{job_id} was at attempt {attempt} and ends at {kept.attempt}", (evidence, kept))


CHECKS = (_leases_apart, _one_holder_at_a_time, _asked_once, _rising)
