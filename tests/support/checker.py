"""Reads a history and reports every broken invariant, each with its evidence.

| | invariant |
|---|---|
| I1 | every prompt that was answered 2xx reaches exactly one terminal state, in time |
| I2 | at most one committed answer per prompt: that of its last attempt |
| I3 | a session's prompts are answered in the order of admission; the model was shown the committed history, in order |
| I4 | never two holders of a valid lease in one session |
| I5 | attempt numbers only rise |
| I6 | the same idempotency key gives the same job |

It believes none of the three sides: what each says is held against what the others say.
"""

import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from tests.support.history import TERMINAL, Attempt, History, Job, Seen, Submission

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Violation:
    """A broken invariant."""

    invariant: str
    what: str
    evidence: tuple[object, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"{self.invariant}: {self.what}", *map(str, self.evidence)])


def violations(history: History) -> list[Violation]:
    """Find all that is broken, by invariant."""
    found = [violation for check in _CHECKS for violation in check(history)]
    return sorted(found, key=lambda violation: violation.invariant)


def assert_holds(history: History) -> None:
    """Fail with every violation in words."""
    found = violations(history)
    assert not found, "\n".join([f"{len(found)} violations ({history.note})", *map(str, found)])


def _kept(history: History) -> Iterator[Violation]:
    """I1: what was promised is there, and ended in time."""
    jobs = {job.id: job for job in history.jobs}
    of_key = {(prompt.session, prompt.key): prompt for prompt in history.prompts}
    answered = {answer.job for answer in history.answers}
    for key, submissions in _grouped(history.submissions, lambda each: (each.session, each.key)).items():
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
    """I1: a terminal state never changes."""
    ends: dict[str, set[str]] = defaultdict(set)
    for look in history.looks:
        for seen in look.jobs:
            if ends[seen.job] and seen.state not in TERMINAL:
                yield Violation("I1", f"{seen.job} was {_words(ends[seen.job])} and then {seen.state}", (look.at, seen))
            if seen.state in TERMINAL:
                ends[seen.job].add(seen.state)
    for job in history.jobs:
        ends[job.id].add(job.state)
    for job_id, states in ends.items():
        if len(states) > 1:
            yield Violation("I1", f"{job_id} had several last states: {_words(states)}")


def _one_answer(history: History) -> Iterator[Violation]:
    """I2: one answer in the store, and it is what the model said to the attempt that ended the job."""
    jobs = {job.id: job for job in history.jobs}
    said = {(call.job, call.attempt): call for call in history.calls}
    for place, answers in _grouped(history.answers, lambda each: (each.session, each.seq)).items():
        if len(answers) > 1:
            yield Violation("I2", f"the prompt at {place} has {len(answers)} answers", tuple(answers))
    for job_id, answers in _grouped(history.answers, lambda each: each.job).items():
        job = jobs.get(job_id)
        if job is None or len({(each.session, each.seq) for each in answers}) > 1:
            yield Violation("I2", f"{job_id} has answers in several places, or is not there", (*answers, job))
        elif job.state == "succeeded":
            call = said.get((job_id, job.attempt))
            if call is None or answers[0].text != call.answer:
                others = tuple(other for other in history.calls if other.job == job_id)
                yield Violation("I2", f"{job_id} has an answer that its last attempt was not given", (job, *others))


def _answers_told(history: History) -> Iterator[Violation]:
    """I2: whoever waited for the answer got the committed one."""
    kept = {answer.job: answer.text for answer in history.answers}
    for each in history.submissions:
        if each.answer is not None and each.job is not None and kept.get(each.job) != each.answer:
            yield Violation("I2", f"a client was told another answer than {each.job} has", (each, kept.get(each.job)))


def _admitted_in_order(history: History) -> Iterator[Violation]:
    """I3: a prompt that was kept before another was first sent stands before it."""
    place = {(prompt.session, prompt.key): prompt.seq for prompt in history.prompts}
    for session, submissions in _grouped(history.submissions, lambda each: each.session).items():
        sent = _first_of_each_key(submissions, lambda each: each.sent)
        kept = _first_of_each_key((each for each in submissions if each.is_kept), lambda each: each.ended)
        for before, after in itertools.product(kept, sent):
            first, second = place.get((session, before.key)), place.get((session, after.key))
            if before.ended < after.sent and first is not None and second is not None and first > second:
                what = f"{after.key} came after {before.key} and stands before it in {session}"
                yield Violation("I3", what, (before, after, (first, second)))


def _committed_in_order(history: History) -> Iterator[Violation]:
    """I3: answers were committed, and attempts made, in the order of the places."""
    for session, jobs in _grouped(history.jobs, lambda each: each.session).items():
        succeeded = sorted((job for job in jobs if job.state == "succeeded"), key=lambda job: job.seq)
        for one, other in itertools.pairwise(succeeded):
            if (one.ended or 0) > (other.ended or 0):
                yield Violation("I3", f"answers of {session} were committed out of order", (one, other))
        for (first, one), (second, other) in itertools.pairwise(_attempts(jobs)):
            if (one.seq, first.number) >= (other.seq, second.number):
                yield Violation("I3", f"attempts in {session} were out of order", (one.id, first, other.id, second))


def _shown(history: History) -> Iterator[Violation]:
    """I3: the model was shown the committed turns before the prompt, whole and in order, at every attempt."""
    prompts = {prompt.job: prompt for prompt in history.prompts}
    said = {(prompt.session, prompt.seq): prompt.text for prompt in history.prompts}
    turns: dict[str, list[tuple[int, tuple[str, str]]]] = defaultdict(list)
    for answer in sorted(history.answers, key=lambda each: each.seq):
        if not answer.failed:
            turn = said.get((answer.session, answer.seq), ""), answer.text
            turns[answer.session].append((answer.seq, turn))
    for call in history.calls:
        prompt = prompts.get(call.job)
        if prompt is None:
            yield Violation("I3", f"the model was asked for {call.job}, which the store does not have", (call,))
            continue
        committed = tuple(turn for seq, turn in turns[prompt.session] if seq < prompt.seq)
        if call.shown != committed or call.prompt != prompt.text or call.session != prompt.session:
            what = f"the model was not shown what {call.job} follows, at attempt {call.attempt}"
            yield Violation("I3", what, (f"shown:     {call.prompt!r} after {call.shown}", f"committed: {committed}"))


def _leases_apart(history: History) -> Iterator[Violation]:
    """I4: by the store's record, an attempt of a session ended before the next began."""
    for session, jobs in _grouped(history.jobs, lambda each: each.session).items():
        for (first, one), (second, other) in itertools.pairwise(_attempts(jobs)):
            if first.ended > second.started:
                what = f"{session} had two holders from {second.started} to {first.ended}"
                yield Violation("I4", what, (one.id, first, other.id, second))


def _one_holder_at_a_time(history: History) -> Iterator[Violation]:
    """I4: at every look a session had one valid lease at most, and an attempt had the same holder at all of them."""
    holders: dict[tuple[str, int], str | None] = {}
    for look in history.looks:
        valid = [seen for seen in look.jobs if seen.state == "running" and (seen.lease_until or 0) > look.at]
        for session, holding in _grouped(valid, lambda each: each.session).items():
            if len(holding) > 1:
                yield Violation("I4", f"{session} had {len(holding)} valid leases at {look.at}", tuple(holding))
        for seen in valid:
            holder = holders.setdefault((seen.job, seen.attempt), seen.worker)
            if holder != seen.worker:
                yield Violation("I4", f"attempt {seen.attempt} of {seen.job} had two holders", (holder, seen))


def _asked_once(history: History) -> Iterator[Violation]:
    """I4: an attempt, having one holder, asks the model once."""
    for (job_id, attempt), calls in _grouped(history.calls, lambda each: (each.job, each.attempt)).items():
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


def _one_job_a_key(history: History) -> Iterator[Violation]:
    """I6: clients were told one job for a key, and the store has one, which is the one that they were told."""
    kept = _grouped(history.prompts, lambda each: (each.session, each.key))
    told = _grouped((each for each in history.submissions if each.job), lambda each: (each.session, each.key))
    for key in kept.keys() | told.keys():
        prompts, submissions = kept.get(key, []), told.get(key, [])
        names = {each.job for each in submissions} | {prompt.job for prompt in prompts}
        if len(names) > 1 or len(prompts) > 1:
            yield Violation("I6", f"{key} has the jobs {_words(str(name) for name in names)}", (*submissions, *prompts))
    for (session, seq), jobs in _grouped(history.jobs, lambda each: (each.session, each.seq)).items():
        if len(jobs) > 1:
            yield Violation("I6", f"place {seq} of {session} has {len(jobs)} jobs", tuple(jobs))
    of_prompts = {prompt.job for prompt in history.prompts}
    for job in history.jobs:
        if job.id not in of_prompts:
            yield Violation("I6", f"{job.id} is nobody's", (job,))


def _grouped(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = defaultdict(list)
    for value in values:
        groups[key(value)].append(value)
    return dict(groups)


def _first_of_each_key(submissions: Iterable[Submission], when: Callable[[Submission], int]) -> list[Submission]:
    return [min(each, key=when) for each in _grouped(submissions, lambda each: each.key).values()]


def _attempts(jobs: Iterable[Job]) -> list[tuple[Attempt, Job]]:
    """All attempts at some jobs, by when they began."""
    return sorted(((attempt, job) for job in jobs for attempt in job.attempts), key=lambda each: each[0].started)


def _words(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


_CHECKS = (
    _kept,
    _ended_once,
    _one_answer,
    _answers_told,
    _admitted_in_order,
    _committed_in_order,
    _shown,
    _leases_apart,
    _one_holder_at_a_time,
    _asked_once,
    _rising,
    _one_job_a_key,
)
