"""I3: prompts stand as they were admitted, are answered so, and the model was shown what had been committed."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from tests.support.checker.leases import attempts_of
from tests.support.checker.violation import Violation, grouped
from tests.support.history import History, Submission


def _admitted_in_order(history: History) -> Iterator[Violation]:
    """A prompt that was kept before another was first sent stands before it."""
    place = {(prompt.session, prompt.key): prompt.seq for prompt in history.prompts}
    for session, submissions in grouped(history.submissions, lambda each: each.session).items():
        there = [each for each in submissions if (session, each.key) in place]
        sent = sorted(_first_of_each_key(there, lambda each: each.sent), key=lambda each: each.sent)
        kept = _first_of_each_key((each for each in there if each.is_kept), lambda each: each.ended)
        waiting = sorted(kept, key=lambda each: each.ended, reverse=True)
        furthest: Submission | None = None
        for after in sent:
            while waiting and waiting[-1].ended < after.sent:
                before = waiting.pop()
                if furthest is None or place[session, before.key] > place[session, furthest.key]:
                    furthest = before
            if furthest is not None and place[session, furthest.key] > place[session, after.key]:
                what = f"{after.key} came after {furthest.key} and stands before it in {session}"
                places = place[session, furthest.key], place[session, after.key]
                yield Violation("I3", what, (furthest, after, places))


def _dated_in_order(history: History) -> Iterator[Violation]:
    """The places of a session's prompts and the times of their admission, read under one lock, agree."""
    for session, jobs in grouped(history.jobs, lambda each: each.session).items():
        for one, other in itertools.pairwise(sorted(jobs, key=lambda each: each.seq)):
            if one.created > other.created:
                yield Violation("I3", f"places and times of prompts disagree in {session}", (one, other))


def _committed_in_order(history: History) -> Iterator[Violation]:
    """Answers were committed, and attempts made, in the order of the places."""
    for session, jobs in grouped(history.jobs, lambda each: each.session).items():
        succeeded = sorted((job for job in jobs if job.state == "succeeded"), key=lambda job: job.seq)
        for one, other in itertools.pairwise(succeeded):
            if (one.ended or 0) > (other.ended or 0):
                yield Violation("I3", f"answers of {session} were committed out of order", (one, other))
        for (first, one), (second, other) in itertools.pairwise(attempts_of(jobs)):
            if (one.seq, first.number) >= (other.seq, second.number):
                yield Violation("I3", f"attempts in {session} were out of order", (one.id, first, other.id, second))


def _shown(history: History) -> Iterator[Violation]:
    """The model was shown the committed turns before the prompt, whole and in order, at every attempt."""
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


def _first_of_each_key(submissions: Iterable[Submission], when: Callable[[Submission], int]) -> list[Submission]:
    return [min(each, key=when) for each in grouped(submissions, lambda each: each.key).values()]


CHECKS = (_admitted_in_order, _dated_in_order, _committed_in_order, _shown)
