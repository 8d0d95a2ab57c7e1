"""Looks after lines whose jobs are kept elsewhere: their ends are found by asking."""

from __future__ import annotations

import contextlib

from domain.batches import results
from domain.batches.batch import Batch, BatchState, LineState
from domain.batches.lines import LineName
from domain.batches.results import Result
from domain.errors import JobNotFound, NotFound
from domain.ids import is_ephemeral_job, is_hidden
from domain.jobs import Failure, Job
from storage.base import Store
from storage.batches import Batches

PORTION = 200

GONE = Failure("job_gone", "the session of this line is gone, and its answer with it")


def collect(batches: Batches, store: Store, batch: Batch) -> None:
    """Note the outcomes of those watched lines of a batch whose jobs have ended, or are gone.

    Raises:
        StoreUnavailable: one of the keepers does not answer.
    """
    name = (batch.tenant, batch.id)
    is_over = batch.ending is BatchState.EXPIRED
    after = 0
    while watched := batches.watched(name, after, PORTION):
        after = watched[-1][0].number
        jobs = store.jobs_by_id([(batch.tenant, job_id) for _, job_id in watched])
        found: list[Result] = []
        ended: list[Job] = []
        for line, job_id in watched:
            job = jobs.get(job_id)
            if job is None or job.tenant != batch.tenant:
                found.append(results.of_failure(line, LineState.FAILED, GONE, batch.id))
            elif not job.state.is_open:
                answer = store.answer(job.tenant, job.session_id, job.incarnation, job.seq)
                found.append(results.of_job(line, job, answer, batch_is_over=is_over))
                ended.append(job)
        if found:
            batches.settle_watched(name, found)
        for job in ended:
            if is_hidden(job.session_id) and is_ephemeral_job(job.id):
                with contextlib.suppress(NotFound):
                    store.delete_session(job.tenant, job.session_id)


def cancel(batches: Batches, store: Store, batch: Batch) -> list[Job]:
    """Ask the jobs of watched lines to end; returns those that did. Of a line that repeats another's prompt, only it.

    Raises:
        StoreUnavailable: one of the keepers does not answer.
    """
    name = (batch.tenant, batch.id)
    ended: list[Job] = []
    others: list[Result] = []
    after = 0
    while watched := batches.watched(name, after, PORTION):
        after = watched[-1][0].number
        for line, job_id in watched:
            if not is_ephemeral_job(job_id):
                others.append(_given_up(batch, line))
                continue
            with contextlib.suppress(JobNotFound):
                ended += store.cancel_job(batch.tenant, job_id).ended
    if others:
        batches.settle_watched(name, others)
    return ended


def _given_up(batch: Batch, line: LineName) -> Result:
    if batch.ending is BatchState.EXPIRED:
        return results.of_failure(line, LineState.EXPIRED, results.EXPIRED, batch.id)
    return results.of_failure(line, LineState.CANCELLED, results.CANCELLED, batch.id)
