"""What has expired goes, a portion at a time, and nothing else."""

import pytest
import sqlalchemy as sa

from domain.batches.life import DAY_MS
from domain.errors import BatchNotFound, FileNotFound
from domain.jobs import Outcome
from tests.domain.batches.lines import short
from tests.storage.batches.bulk import Bulk


def ended(bulk: Bulk) -> str:
    batch = bulk.passed(bulk.begun(*[short(str(n)) for n in range(6)]))
    worker = bulk.worker()
    for number, each in enumerate(worker.claim()):
        worker.finish(each.job, Outcome.FAILED if number == 0 else Outcome.SUCCEEDED)
    assert bulk.batches.settle(("default", batch.id)) is not None
    return batch.id


def tidy(bulk: Bulk) -> int:
    rounds = 0
    while bulk.batches.tidy(retention_ms=30 * DAY_MS, limit=2):
        rounds += 1
        assert rounds < 50
    return rounds


def count(bulk: Bulk, table: str) -> int:
    found: int = bulk.store._transactions.read(
        lambda tx: tx.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()
    )
    return found


def test_nothing_goes_before_its_time(bulk: Bulk) -> None:
    batch_id = ended(bulk)
    assert tidy(bulk) == 0
    assert bulk.batches.progress("default", batch_id).tally.ended == 6


def test_an_output_goes_and_the_counts_stay(bulk: Bulk) -> None:
    batch_id = ended(bulk)
    batch = bulk.batches.progress("default", batch_id).batch
    bulk.batches.delete_file("default", batch.output_file_id or "")
    assert tidy(bulk) >= 3
    assert b"".join(bulk.batches.output("default", batch_id, "output")) == b""
    assert b"".join(bulk.batches.output("default", batch_id, "error")) != b""
    assert bulk.batches.progress("default", batch_id).tally.succeeded == 5


def test_a_batch_goes_with_all_that_is_its_own(bulk: Bulk) -> None:
    batch_id = ended(bulk)
    bulk.clock.advance(31 * DAY_MS)
    tidy(bulk)
    with pytest.raises(BatchNotFound):
        bulk.batches.progress("default", batch_id)
    assert [count(bulk, table) for table in ("batch", "line", "tally", "file", "file_part")] == [0] * 5


def test_the_input_of_a_batch_with_ephemeral_lines_goes_when_it_ends(bulk: Bulk) -> None:
    batch = bulk.begun(short("a"))
    bulk.batches.change("default", batch.id, lambda found, _: found.evolve(has_ephemeral=True))
    bulk.passed(bulk.now(batch))
    bulk.worker().run()
    settled = bulk.batches.settle(("default", batch.id))
    assert settled is not None
    with pytest.raises(FileNotFound):
        bulk.batches.file("default", batch.request.input_file_id)
    tidy(bulk)
    assert count(bulk, "file_part") == 0
    assert bulk.batches.file("default", settled.output_file_id or "").expires == bulk.clock() + DAY_MS
