"""I1: what was promised is there, and ends once, in time."""

from collections import defaultdict
from collections.abc import Iterator

from tests.support.checker.violation import Violation, grouped, words
from tests.support.history import TERMINAL, History


def _kept(history: History) -> Iterator[Violation]:
    """What was promised is there, and ended in time."""
    jobs = {job.id: job for job in history.jobs}
    of_key = {(prompt.session, prompt.key): prompt for prompt in history.prompts}
    answered = {answer.job for answer in history.answers}
    for key, submissions in grouped(history.submissions, lambda each: (each.session, each.key)).items():
        promised = [each for each in submissions if each.is_kept]
        if not promised:
            continue
        prompt = of_key.get(key)
        job = jobs.get(prompt.job) if prompt is not None else None
        if prompt is None or job is None:
            yield Violation("I1", f"{key} was answered 2xx, and the store does not have it", (*promised, prompt))
        elif not job.is_terminal:
            yield Violation("I1", f"{key} was answered 2xx, and is {job.state} at the end", (promised[0], job))
        elif job.id not in answered:
            yield Violation("I1", f"{key} ended {job.state} without an assistant message", (job,))
        else:
            first = min(each.ended for each in promised)
            due = max(first, history.last_fault or first) + history.within_ms
            if job.ended is None or job.ended > due:
                late = "at no time" if job.ended is None else f"{job.ended - due} ms too late"
                yield Violation("I1", f"{key} ended {late}", (job, f"last fault at {history.last_fault}"))


def _ended_once(history: History) -> Iterator[Violation]:
    """A terminal state never changes."""
    ends: dict[str, set[str]] = defaultdict(set)
    for look in history.looks:
        for seen in look.jobs:
            if ends[seen.job] and seen.state not in TERMINAL:
                yield Violation("I1", f"{seen.job} was {words(ends[seen.job])} and then {seen.state}", (look.at, seen))
            if seen.state in TERMINAL:
                ends[seen.job].add(seen.state)
    for job in history.jobs:
        ends[job.id].add(job.state)
    for job_id, states in ends.items():
        if len(states) > 1:
            yield Violation("I1", f"{job_id} had several last states: {words(states)}")


def _counted(history: History) -> Iterator[Violation]:
    """What a session says of its open jobs is so: a session that counts wrongly sleeps, or wakes for nothing."""
    open_jobs = grouped((job for job in history.jobs if not job.is_terminal), lambda each: each.session)
    for session in history.sessions:
        there = len(open_jobs.get(session.id, ()))
        if session.open != there:
            yield Violation("I1", f"{session.id} counts {session.open} open jobs, and has {there}", (session,))


CHECKS = (_kept, _ended_once, _counted)
