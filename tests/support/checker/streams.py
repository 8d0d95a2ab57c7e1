"""I7: what was put together from events is what is stored."""

from collections.abc import Iterator

from tests.support.checker.violation import Violation
from tests.support.history import History


def _assembled(history: History) -> Iterator[Violation]:
    answers = {answer.id: answer for answer in history.answers}
    jobs = {job.id: job for job in history.jobs}
    for each in history.assembled:
        kept = answers.get(each.answer)
        job = jobs.get(kept.job) if kept is not None else None
        if kept is None:
            yield Violation("I7", f"a stream of {each.session} ended with {each.answer}, which is not stored", (each,))
        elif job is not None and job.state == "succeeded" and each.text != kept.text:
            yield Violation("I7", f"what was streamed of {each.answer} is not what is stored", (each, kept))


CHECKS = (_assembled,)
