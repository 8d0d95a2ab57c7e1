"""What may become of a batch."""

from typing import Any

import pytest

from domain.batches import life
from domain.batches.batch import Batch, BatchRequest, BatchState, LineError, Tally
from domain.batches.life import BatchNotReady
from domain.batches.reading import Defaults
from domain.batches.validation import Findings

NOW = 1_000_000
FOUND = Findings(3)


def a_batch(state: BatchState = BatchState.VALIDATING, **fields: Any) -> Batch:
    request = BatchRequest("batch_a", "file-a", "/v1/chat/completions", "24h", life.DAY_MS)
    return Batch("default", "batch_a", request, "x.jsonl", "digest", NOW, NOW + life.DAY_MS, state=state, **fields)


def going(**fields: Any) -> Batch:
    return life.begin(a_batch(), FOUND, NOW).evolve(**fields)


def test_a_batch_runs_when_its_file_has_been_read() -> None:
    batch = life.begin(a_batch(), FOUND, NOW + 5)
    assert (batch.state, batch.total, batch.in_progress_at) == (BatchState.IN_PROGRESS, 3, NOW + 5)


def test_a_file_with_a_bad_line_runs_nothing() -> None:
    bad = Findings(3, 1, errors=(LineError("invalid_line", "…", 2),))
    batch = life.begin(a_batch(), bad, NOW)
    assert (batch.state, batch.total, len(batch.errors)) == (BatchState.FAILED, 0, 1)


def test_unless_the_bad_ones_are_to_be_left_out() -> None:
    batch = a_batch()
    batch = batch.evolve(request=batch.request.evolve(skip_invalid=True))
    assert life.begin(batch, Findings(3, 1), NOW).state is BatchState.IN_PROGRESS
    assert life.begin(batch, Findings(0, 1), NOW).state is BatchState.FAILED


def test_what_is_read_after_a_cancel_changes_nothing() -> None:
    cancelled = life.cancel(a_batch(), NOW)
    assert cancelled.state is BatchState.CANCELLED
    assert life.begin(cancelled, FOUND, NOW) is cancelled


def test_a_batch_ends_when_all_its_lines_have() -> None:
    batch = going(passed=3)
    assert life.settle(batch, Tally(succeeded=2), NOW) is batch
    assert life.settle(going(passed=2), Tally(succeeded=3), NOW).state is BatchState.IN_PROGRESS
    ended = life.settle(batch, Tally(succeeded=2, failed=1), NOW + 9)
    assert (ended.state, ended.ended_at) == (BatchState.COMPLETED, NOW + 9)
    assert ended.output_file_id is not None
    assert ended.error_file_id is not None
    assert life.settle(ended, Tally(succeeded=3), NOW) is ended


def test_only_files_with_lines_are_put_out() -> None:
    ended = life.settle(going(passed=3), Tally(succeeded=3), NOW)
    assert ended.error_file_id is None
    (output,) = life.outputs(ended, Tally(succeeded=3, output_size=77), NOW)
    assert (output.id, output.size, output.kind, output.expires) == (
        ended.output_file_id,
        77,
        "output",
        NOW + 30 * life.DAY_MS,
    )


def test_answers_of_ephemeral_lines_are_kept_for_a_day_at_most() -> None:
    ended = life.settle(going(passed=3, has_ephemeral=True), Tally(succeeded=3), NOW)
    assert life.outputs(ended, Tally(succeeded=3), NOW)[0].expires == NOW + life.DAY_MS


def test_a_cancelled_batch_is_cancelled_when_its_lines_have_ended() -> None:
    batch = life.cancel(going(), NOW + 1)
    assert (batch.state, batch.cancelling_at) == (BatchState.CANCELLING, NOW + 1)
    assert life.cancel(batch, NOW + 2) is batch
    ended = life.settle(batch.evolve(passed=3), Tally(cancelled=3), NOW)
    assert ended.state is BatchState.CANCELLED
    assert life.cancel(ended, NOW) is ended


def test_a_batch_expires_when_its_window_is_over_and_not_before() -> None:
    batch = going()
    assert life.expire(batch, batch.expires - 1) is batch
    expiring = life.expire(batch, batch.expires)
    assert expiring.state is BatchState.CANCELLING
    assert life.settle(expiring.evolve(passed=3), Tally(expired=3), NOW).state is BatchState.EXPIRED
    cancelled = life.cancel(batch, NOW)
    assert life.expire(cancelled, batch.expires) is cancelled, "its caller was first"


def test_a_batch_is_paused_and_resumed_as_often_as_one_likes() -> None:
    paused = life.pause(going(), NOW)
    assert paused.paused
    assert life.pause(paused, NOW) is paused
    assert not life.resume(paused, NOW).paused
    assert not life.cancel(paused, NOW).paused


@pytest.mark.parametrize("decide", [life.cancel, life.pause])
@pytest.mark.parametrize("state", [BatchState.COMPLETED, BatchState.FAILED, BatchState.EXPIRED])
def test_what_has_ended_stays(decide: Any, state: BatchState) -> None:
    with pytest.raises(BatchNotReady, match=state.value):
        decide(a_batch(state), NOW)


def test_what_has_ended_can_be_retried_in_a_new_window() -> None:
    ended = life.settle(life.cancel(going(passed=3), NOW), Tally(cancelled=3), NOW)
    again = life.retry(ended, NOW + 50)
    assert (again.state, again.run, again.passed, again.place.number) == (BatchState.IN_PROGRESS, 2, 0, 0)
    assert (again.expires, again.ending, again.output_file_id) == (NOW + 50 + life.DAY_MS, None, None)


@pytest.mark.parametrize("state", [BatchState.VALIDATING, BatchState.IN_PROGRESS, BatchState.FAILED])
def test_what_has_not_run_to_an_end_cannot(state: BatchState) -> None:
    with pytest.raises(BatchNotReady):
        life.retry(a_batch(state), NOW)


def test_the_same_creation_is_told_from_another_by_its_fields() -> None:
    batch = a_batch()
    other = batch.evolve(
        input_digest="other", request=batch.request.evolve(base="batch_b", defaults=Defaults(model="p/m"))
    )
    assert life.differing(batch, batch) == []
    assert life.differing(batch, other) == ["base", "input_file_id", "model"]
