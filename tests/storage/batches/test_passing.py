"""Lines are passed once, whoever asks for it and how often."""

import threading
from typing import Any

import pytest

from domain.batches import life, results
from domain.batches.batch import LineState
from domain.batches.life import BatchDiffers, BatchNotReady
from domain.batches.lines import LineName
from domain.errors import BacklogFull, FileNotFound
from domain.jobs import Failure, Outcome
from storage.base import JobQuery
from storage.sql.store import SqlStore
from tests.domain.batches.lines import jsonl, short, to_session
from tests.storage.actors import admit, texts
from tests.storage.batches.bulk import Bulk
from tests.support.keepers import Keeper


def test_the_same_id_and_content_is_the_same_batch(bulk: Bulk) -> None:
    file = bulk.upload(jsonl(short("a")))
    batch, is_new = bulk.create("batch_a", file)
    assert is_new
    assert bulk.create("batch_a", file) == (batch, False)
    assert bulk.create("batch_a", bulk.upload(jsonl(short("a")))) == (batch, False), "another file of the same bytes"


def test_another_content_or_other_parameters_are_refused(bulk: Bulk) -> None:
    file = bulk.upload(jsonl(short("a")))
    bulk.create("batch_a", file)
    with pytest.raises(BatchDiffers) as refused:
        bulk.create("batch_a", bulk.upload(jsonl(short("b"))), skip_invalid=True)
    assert refused.value.fields == ("input_file_id", "skip_invalid")


def test_a_batch_needs_a_file(bulk: Bulk) -> None:
    file = bulk.upload(b"x")
    with pytest.raises(FileNotFound):
        bulk.create("batch_a", file.evolve(id="file-none"))
    other = Bulk(bulk.store, bulk.clock, "other")
    with pytest.raises(FileNotFound):
        other.create("batch_a", file)


def test_many_that_create_one_batch_at_once_have_one(bulk: Bulk) -> None:
    file = bulk.upload(jsonl(short("a")))
    told: list[bool] = []
    threads = [threading.Thread(target=lambda: told.append(bulk.create("batch_a", file)[1])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False] * 7 + [True]


def test_lines_of_one_session_run_in_the_order_of_the_file(bulk: Bulk) -> None:
    batch = bulk.begun(*[to_session(str(n), f"ses_{n % 2}", text=str(n)) for n in range(10)])
    batch = bulk.passed(batch, 4)
    bulk.passed(batch, 6)
    bulk.worker().run()
    asked = [text for text in texts(bulk.store.messages("default", "ses_1")) if text.isdigit()]
    assert asked == ["1", "3", "5", "7", "9"]


def test_a_step_from_a_place_that_was_left_passes_nothing(bulk: Bulk) -> None:
    batch = bulk.begun(*[short(str(n)) for n in range(4)])
    step = bulk.step(batch, 2)
    assert bulk.batches.pass_lines(step)
    assert not bulk.batches.pass_lines(step), "somebody else was first"
    assert len(bulk.store.jobs("default", JobQuery())) == 2


@pytest.mark.parametrize("decide", [life.cancel, life.pause])
def test_nor_does_one_of_a_batch_that_has_been_stopped_meanwhile(bulk: Bulk, decide: Any) -> None:
    batch = bulk.begun(short("a"))
    step = bulk.step(batch)
    bulk.batches.change("default", batch.id, decide)
    assert not bulk.batches.pass_lines(step)
    assert bulk.store.jobs("default", JobQuery()) == []


def test_of_many_that_pass_the_same_lines_at_once_one_does(bulk: Bulk) -> None:
    batch = bulk.begun(*[short(str(n)) for n in range(20)], *[to_session(f"s{n}") for n in range(20)])
    step = bulk.step(batch)
    told: list[bool] = []
    threads = [threading.Thread(target=lambda: told.append(bulk.batches.pass_lines(step))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False] * 5 + [True]
    assert len(bulk.store.jobs("default", JobQuery())) == 40


def test_lines_that_cannot_be_admitted_have_failed(bulk: Bulk) -> None:
    admit(bulk.store, "ses_a", "first", message_id="msg_1")
    batch = bulk.begun(
        to_session("differs", "ses_a", "other", messageID="msg_1"),
        to_session("missing", "ses_none", ifMissing="fail"),
        to_session("busy", "ses_a", whenBusy="reject"),
        to_session("good", "ses_b"),
    )
    bulk.passed(batch)
    assert bulk.counts(batch) == (0, 3, 0, 0)
    assert [line["error"]["code"] for line in bulk.output(batch, "error")] == [
        "prompt_differs",
        "session_not_found",
        "session_busy",
    ]


def test_a_line_that_repeats_a_prompt_has_its_outcome(bulk: Bulk) -> None:
    ended = to_session("a", "ses_a", messageID="msg_1")
    other = bulk.passed(bulk.begun(ended, batch_id="batch_other"))
    worker = bulk.worker()
    worker.finish(worker.claim_one(), text="answered before")
    batch = bulk.begun({**ended, "custom_id": "x"}, to_session("y", "ses_b", messageID="msg_2"), batch_id="batch_b")
    batch = bulk.passed(batch)
    assert bulk.counts(other) == (1, 0, 0, 0)
    assert bulk.counts(batch) == (1, 0, 0, 0)
    assert bulk.output(batch)[0]["response"]["body"]["parts"][0]["text"] == "answered before"


def test_one_that_repeats_an_open_prompt_is_watched(bulk: Bulk) -> None:
    line = to_session("a", "ses_a", messageID="msg_1")
    bulk.passed(bulk.begun(line, batch_id="batch_other"))
    batch = bulk.passed(bulk.begun(line, batch_id="batch_b"))
    ((name, job_id),) = bulk.batches.watched(("default", batch.id), 0, 10)
    assert bulk.batches.settle(("default", batch.id)) is None
    result = results.of_failure(name, LineState.FAILED, Failure("x", "y"), batch.id)
    for _ in range(2):
        bulk.batches.settle_watched(("default", batch.id), [result])
    assert bulk.counts(batch) == (0, 1, 0, 0)
    assert bulk.batches.watched(("default", batch.id), 0, 10) == []
    assert bulk.store.job("default", job_id).state.is_open


def test_a_tenant_with_too_many_open_jobs_gets_no_more(keeper: Keeper) -> None:
    store = keeper.open(backlog=3)
    assert isinstance(store, SqlStore)
    bulk = Bulk(store, keeper.clock)
    admit(store, "ses_a")
    batch = bulk.passed(bulk.begun(*[short(str(n)) for n in range(8)]), 2)
    for lines in (1, 4):
        with pytest.raises(BacklogFull):
            bulk.batches.pass_lines(bulk.step(batch, lines))
    assert bulk.now(batch).passed == 2
    bulk.worker().run()
    bulk.passed(batch, 2)


def test_heads_are_held_while_a_batch_is_paused(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(*[short(str(n)) for n in range(5)]))
    admit(bulk.store, "ses_mine")
    worker = bulk.worker()
    running = worker.claim(1)
    batch = bulk.batches.change("default", batch.id, life.pause)
    assert bulk.batches.hold(batch, 100) == 5 - (running[0].job.batch_id is not None)
    assert bulk.batches.hold(batch, 100) == 0
    assert bulk.batches.load(batch, 100).held == 1
    assert [each.job.batch_id for each in worker.claim()] in ([None], [])
    batch = bulk.batches.change("default", batch.id, life.resume)
    assert bulk.batches.release(batch, 100) in (4, 5)
    assert len(worker.claim()) in (4, 5)


def test_a_cancel_ends_what_is_queued_and_asks_what_runs(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(*[short(str(n)) for n in range(3)], *[to_session(f"s{n}") for n in range(3)]))
    worker = bulk.worker()
    (running,) = worker.claim(1)
    batch = bulk.batches.change("default", batch.id, life.cancel)
    ended, asked = bulk.batches.cancel_jobs(batch, 100)
    assert (len(ended), asked) == (5, 6)
    assert bulk.batches.cancel_jobs(batch, 100) == ([], 0), "all have been asked"
    worker.finish(running.job, Outcome.CANCELLED)
    assert bulk.counts(batch) == (0, 0, 6, 0)


def test_what_is_cut_off_by_the_end_of_the_window_has_expired(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(short("a"), short("b")))
    worker = bulk.worker()
    (running,) = worker.claim(1)
    bulk.clock.advance(life.DAY_MS)
    batch = bulk.batches.change("default", batch.id, life.expire)
    bulk.batches.cancel_jobs(batch, 100)
    worker.finish(running.job, Outcome.CANCELLED)
    assert bulk.counts(batch) == (0, 0, 0, 2)
    assert {line["error"]["code"] for line in bulk.output(batch, "error")} == {"batch_expired"}


def test_another_priority_is_that_of_what_waits_already_too(bulk: Bulk) -> None:
    first = bulk.passed(bulk.begun(short("a"), to_session("b"), to_session("c", priority=1), batch_id="batch_a"))
    second = bulk.passed(bulk.begun(short("x"), batch_id="batch_b"))
    bulk.batches.reprioritise("default", second.id, 9)
    assert bulk.worker().claim_one().batch_id == second.id
    bulk.batches.reprioritise("default", first.id, 2)
    jobs = {job.line: job.priority for job in bulk.store.jobs("default", JobQuery(batch_id=first.id))}
    assert sorted(jobs.values()) == [1, 2, 2]
    assert sorted(each.job.rank for each in bulk.worker().claim()) == [2, 2]


def test_a_retry_runs_only_what_did_not_succeed(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(short("a"), short("b"), short("c")))
    worker = bulk.worker()
    for each, outcome in zip(worker.claim(), (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SUCCEEDED), strict=True):
        worker.finish(each.job, outcome)
    with pytest.raises(BatchNotReady):
        bulk.batches.retry("default", batch.id)
    ended = bulk.batches.settle(("default", batch.id))
    assert ended is not None
    again = bulk.batches.retry("default", batch.id)
    assert bulk.counts(again) == (2, 0, 0, 0)
    assert bulk.batches.kept_lines(("default", batch.id), (0, 3)) == {1, 3}
    with pytest.raises(FileNotFound):
        bulk.batches.file("default", ended.output_file_id or "")
    step = bulk.step(again)
    assert bulk.batches.pass_lines(step.evolve(arrivals=[each for each in step.arrivals if each[0].number == 2]))
    worker.run()
    finished = bulk.batches.settle(("default", batch.id))
    assert finished is not None
    assert bulk.counts(finished) == (3, 0, 0, 0)
    with pytest.raises(BatchNotReady, match="no lines"):
        bulk.batches.retry("default", batch.id)


def test_lines_are_found_by_their_names(bulk: Bulk) -> None:
    batch = bulk.passed(bulk.begun(short("a"), short("b")))
    worker = bulk.worker()
    worker.finish(worker.claim_one())
    found = bulk.batches.lines_by_name(("default", batch.id), ["a", "b", "c"])
    assert [(kept.custom_id, kept.state, kept.hash) for kept in found.values()] == [
        (
            "a",
            LineState.SUCCEEDED,
            bulk.step(batch.evolve(place=batch.place.evolve(number=0, offset=0))).arrivals[0][0].hash,
        )
    ]


def test_a_name_may_hold_anything_that_can_be_printed(bulk: Bulk) -> None:
    names = ["with space", "0 0 0", "ü'\"\\", "x" * 512]
    batch = bulk.passed(bulk.begun(*[short(name) for name in names]))
    bulk.worker().run()
    assert [line["custom_id"] for line in bulk.output(batch)] == names
    assert LineName.parse(str(LineName(1, 2, "a b"))).custom_id == "a b"
