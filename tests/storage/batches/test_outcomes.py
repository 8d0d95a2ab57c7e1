"""Every line has one outcome, noted in the transaction that ends its job, however it ends."""

from typing import Any

import pytest

from domain.batches import life
from domain.batches.batch import BatchState
from domain.errors import BatchNotFound, JobNotRetryable, SessionNotFound
from domain.ids import is_hidden
from domain.jobs import Job, Outcome
from domain.messages import Usage
from storage.base import JobQuery, SessionQuery
from storage.batches import Landmarks
from tests.domain.batches.lines import chat, short, to_session
from tests.storage.actors import LEASE_MS, admit, admit_job
from tests.storage.batches.bulk import Bulk


def open_jobs(bulk: Bulk) -> list[Job]:
    return sorted(bulk.store.jobs("default", JobQuery()), key=lambda job: job.line or "")


def test_answers_stand_in_the_output_in_the_order_of_the_input(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(short("a"), to_session("b", "ses_b"), chat("c")))
    claimed = bulk.worker().claim()
    for each in reversed(claimed):
        bulk.worker().finish(each.job, text=f"to {each.job.line}", usage=Usage(2, 3), cost=0.5)
    assert bulk.counts(batch) == (3, 0, 0, 0)
    tally = bulk.batches.progress("default", batch.id).tally
    assert (tally.usage, tally.cost) == (Usage(6, 9), 1.5)
    first, second, third = bulk.output(batch)
    assert [line["custom_id"] for line in (first, second, third)] == ["a", "b", "c"]
    assert first["response"]["body"]["choices"][0]["message"]["content"].startswith("to 1 ")
    assert first["response"]["body"]["usage"]["total_tokens"] == 5
    assert second["response"]["body"]["parts"][0]["text"].startswith("to 2 ")
    assert third["error"] is None


def test_the_size_of_the_output_is_known_at_any_moment(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(short("a"), short("ü"), short("c")))
    worker = bulk.worker()
    for each, outcome in zip(worker.claim(), (Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED), strict=True):
        worker.finish(each.job, outcome, "grüße")
        tally = bulk.batches.progress("default", batch.id).tally
        assert tally.output_size == len(b"".join(bulk.batches.output("default", batch.id, "output")))
        assert tally.error_size == len(b"".join(bulk.batches.output("default", batch.id, "error")))


def test_nothing_stays_of_a_one_off_but_its_line_and_its_job(bulk: Bulk) -> None:
    bulk.passed(bulk.begun(short("a", "remember me")))
    worker = bulk.worker()
    (claimed,) = worker.claim()
    assert is_hidden(claimed.job.session_id)
    assert bulk.store.sessions("default", SessionQuery()) == []
    assert bulk.store.busy_sessions("default") == {}
    worker.finish(claimed.job)
    with pytest.raises(SessionNotFound):
        bulk.store.session("default", claimed.job.session_id)
    assert not bulk.store.job("default", claimed.job.id).state.is_open
    with pytest.raises(JobNotRetryable):
        bulk.store.retry_job("default", claimed.job.id)


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (Outcome.SUCCEEDED, (1, 0, 0, 0)),
        (Outcome.FAILED, (0, 1, 0, 0)),
        (Outcome.CANCELLED, (0, 0, 1, 0)),
        (Outcome.TRANSIENT, (0, 0, 0, 0)),
        (Outcome.RETURNED, (0, 0, 0, 0)),
    ],
)
def test_an_attempt_that_ends_its_job_is_counted(bulk: Bulk, outcome: Outcome, counts: Any) -> None:
    batch = bulk.passed(bulk.begun(to_session("a")))
    worker = bulk.worker()
    job = worker.claim_one()
    worker.finish(job, outcome)
    assert bulk.counts(batch) == counts
    worker.finish(job, outcome)
    assert bulk.counts(batch) == counts, "fenced"


@pytest.mark.parametrize("line", [short("a"), to_session("a")])
def test_so_is_one_that_is_cancelled_before_it_runs(bulk: Bulk, line: Any) -> None:
    batch = bulk.passed(bulk.begun(line))
    (job,) = open_jobs(bulk)
    bulk.store.cancel_job("default", job.id)
    bulk.store.cancel_job("default", job.id)
    assert bulk.counts(batch) == (0, 0, 1, 0)
    assert bulk.output(batch, "error")[0]["error"]["code"] == "cancelled"


def test_so_are_those_of_a_session_that_is_aborted_or_deleted(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(*[to_session(str(n), f"ses_{n % 2}") for n in range(6)]))
    worker = bulk.worker()
    worker.finish(worker.claim_one())
    bulk.store.abort_session("default", "ses_0")
    bulk.store.delete_session("default", "ses_1")
    assert sum(bulk.counts(batch)) == 6
    assert bulk.counts(batch)[0] == 1
    assert len(bulk.output(batch)) == 1, "the answer outlives its session"


def test_so_are_those_behind_one_that_failed_in_a_session_that_stops(bulk: Bulk) -> None:
    from tests.storage.actors import create

    create(bulk.store, "ses_s", on_failure="stop")
    batch = bulk.passed(bulk.begun(*[to_session(str(n), "ses_s") for n in range(3)]))
    worker = bulk.worker()
    worker.finish(worker.claim_one(), Outcome.FAILED)
    assert bulk.counts(batch) == (0, 1, 2, 0)


def test_so_are_those_that_are_interrupted(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(to_session("a"), to_session("b")))
    admit(bulk.store, "ses_a", "now", when_busy="interrupt")
    assert bulk.counts(batch) == (0, 0, 2, 0)


def test_so_is_one_whose_worker_was_lost(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(to_session("a", maxAttempts=1), short("b")))
    bulk.worker().claim()
    bulk.clock.advance(LEASE_MS + 1)
    bulk.store.reconcile(limit=10)
    assert bulk.counts(batch) == (0, 1, 0, 0)
    assert bulk.output(batch, "error")[0]["error"]["code"] == "worker_lost"


def test_so_is_one_that_missed_its_time(bulk: Bulk) -> None:
    at = bulk.clock() + 1000
    batch = bulk.passed(bulk.begun(to_session("a", expiresAt=at), to_session("b", "ses_b", expiresAt=at)))
    bulk.clock.advance(1001)
    assert bulk.worker().claim() == []
    bulk.store.reconcile(limit=10)
    assert bulk.counts(batch) == (0, 0, 0, 2)


def test_a_retry_by_hand_is_no_part_of_the_batch(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(to_session("a")))
    worker = bulk.worker()
    worker.finish(worker.claim_one(), Outcome.FAILED)
    (job,) = open_jobs(bulk)
    bulk.store.retry_job("default", job.id)
    worker.run()
    assert bulk.counts(batch) == (0, 1, 0, 0)


def test_lines_can_be_followed_in_the_order_of_their_completion(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(*[short(str(n)) for n in range(6)]))
    worker = bulk.worker()
    claimed = worker.claim()[::-1]
    seen: list[str] = []
    at = Landmarks()
    for each in claimed:
        worker.finish(each.job, text=str(each.job.line))
        until = bulk.batches.landmarks("default", batch.id)
        (line,) = bulk.batches.completed("default", batch.id, at, until, 100)
        seen.append(line)
        at = until
    assert seen == bulk.batches.completed("default", batch.id, Landmarks(), at, 100)
    assert len(set(seen)) == 6


def test_the_end_of_a_batch_is_noted_once(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(short("a"), short("b")))
    worker = bulk.worker()
    first, second = worker.claim()
    worker.finish(first.job)
    assert bulk.batches.settle(("default", batch.id)) is None
    worker.finish(second.job, Outcome.FAILED)
    ended = bulk.batches.settle(("default", batch.id))
    assert ended is not None
    assert ended.state is BatchState.COMPLETED
    assert bulk.batches.settle(("default", batch.id)) is None
    assert bulk.batches.active() == []
    output = bulk.batches.file("default", ended.output_file_id or "")
    assert (output.kind, output.size) == ("output", len(b"".join(bulk.batches.output("default", batch.id, "output"))))


def test_a_batch_is_its_tenants_own(bulk: Bulk) -> None:
    batch = bulk.begun(short("a"))
    with pytest.raises(BatchNotFound):
        bulk.batches.progress("other", batch.id)
    with pytest.raises(BatchNotFound):
        bulk.batches.change("other", batch.id, life.cancel)
    other = Bulk(bulk.store, bulk.clock, "other")
    assert other.begun(short("x"), batch_id=batch.id).total == 1, "the same name is free for another tenant"


def test_other_prompts_are_no_concern_of_a_batch(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(to_session("a")))
    admit_job(bulk.store, "ses_a")
    bulk.worker().run()
    assert bulk.counts(batch) == (1, 0, 0, 0)
