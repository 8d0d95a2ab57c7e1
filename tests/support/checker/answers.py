"""I2: one answer in the store, which is what its last attempt was given, whole, and what everybody was told."""

from collections.abc import Iterator

from tests.support.checker.violation import Violation, grouped
from tests.support.history import History


def _one_answer(history: History) -> Iterator[Violation]:
    """One answer in the store, and it is what the model said to the attempt that ended the job."""
    jobs = {job.id: job for job in history.jobs}
    said = {(call.job, call.attempt): call for call in history.calls}
    for place, answers in grouped(history.answers, lambda each: (each.session, each.seq)).items():
        if len(answers) > 1:
            yield Violation("I2", f"the prompt at {place} has {len(answers)} answers", tuple(answers))
    for job_id, answers in grouped(history.answers, lambda each: each.job).items():
        job = jobs.get(job_id)
        if job is None or len({(each.session, each.seq) for each in answers}) > 1:
            yield Violation("I2", f"{job_id} has answers in several places, or is not there", (*answers, job))
        elif job.state == "succeeded":
            call = said.get((job_id, job.attempt))
            if call is None or answers[0].text != call.answer:
                others = tuple(other for other in history.calls if other.job == job_id)
                what = f"{job_id} has an answer that its last attempt was not given"
                yield Violation("I2", what, (answers[0], job, *others))
            elif call.how != "whole":
                yield Violation("I2", f"{job_id} has succeeded with what was {call.how}", (job, call))


def _answers_told(history: History) -> Iterator[Violation]:
    """Whoever waited for the answer got the committed one."""
    kept = {answer.job: answer.text for answer in history.answers}
    for each in history.submissions:
        if each.answer is not None and each.job is not None and kept.get(each.job) != each.answer:
            yield Violation("I2", f"a client was told another answer than {each.job} has", (each, kept.get(each.job)))


CHECKS = (_one_answer, _answers_told)
