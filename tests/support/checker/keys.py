"""I6: the same key gives the same job, and every job is somebody's."""

from collections.abc import Iterator

from tests.support.checker.violation import Violation, grouped, words
from tests.support.history import History


def _one_job_a_key(history: History) -> Iterator[Violation]:
    """Clients were told one job for a key, and the store has one, which is the one that they were told."""
    kept = grouped(history.prompts, lambda each: (each.session, each.key))
    told = grouped((each for each in history.submissions if each.job), lambda each: (each.session, each.key))
    for key in kept.keys() | told.keys():
        prompts, submissions = kept.get(key, []), told.get(key, [])
        names = {each.job for each in submissions} | {prompt.job for prompt in prompts}
        if len(names) > 1 or len(prompts) > 1:
            yield Violation("I6", f"{key} has the jobs {words(str(name) for name in names)}", (*submissions, *prompts))
    for (session, seq), jobs in grouped(history.jobs, lambda each: (each.session, each.seq)).items():
        if len(jobs) > 1:
            yield Violation("I6", f"place {seq} of {session} has {len(jobs)} jobs", tuple(jobs))
    of_prompts = {prompt.job for prompt in history.prompts}
    for job in history.jobs:
        if job.id not in of_prompts:
            yield Violation("I6", f"{job.id} is nobody's", (job,))


CHECKS = (_one_job_a_key,)
