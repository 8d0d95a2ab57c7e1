"""What is kept of files."""

import os

import pytest

from domain.batches.life import DAY_MS
from domain.errors import FileNotFound
from storage.batches import Listing
from tests.domain.batches.lines import short
from tests.storage.batches.bulk import Bulk

CONTENT = os.urandom(5_500)


def test_a_file_is_read_as_it_was_written_from_any_place_on(bulk: Bulk) -> None:
    file = bulk.upload(CONTENT, piece=1000)
    assert bulk.content(file) == CONTENT
    for start in (0, 1, 999, 1000, 5_499):
        assert b"".join(bulk.batches.parts("default", file.id, start)) == CONTENT[start:]
    assert b"".join(bulk.batches.parts("default", file.id, 5_500)) == b""


def test_an_empty_file_is_a_file(bulk: Bulk) -> None:
    file = bulk.upload(b"")
    assert bulk.batches.file("default", file.id) == file
    assert bulk.content(file) == b""


def test_an_upload_that_is_not_finished_is_seen_by_nobody_and_goes(bulk: Bulk) -> None:
    whole = bulk.upload(CONTENT)
    half = bulk.batches.begin_file("default", "file-half")
    bulk.batches.add_part("default", half.id, 0, b"x")
    with pytest.raises(FileNotFound):
        bulk.batches.file("default", half.id)
    assert [file.id for file in bulk.batches.files("default", Listing(10))] == [whole.id]
    bulk.clock.advance(3_600_000)
    while bulk.batches.tidy(retention_ms=DAY_MS, limit=10):
        pass
    with pytest.raises(FileNotFound):
        bulk.batches.finish_file(half, DAY_MS)


def test_an_upload_that_came_to_nothing_goes_at_once(bulk: Bulk) -> None:
    half = bulk.batches.begin_file("default", "file-half")
    bulk.batches.abandon_file(half)
    with pytest.raises(FileNotFound):
        bulk.batches.finish_file(half, DAY_MS)
    assert bulk.batches.tidy(retention_ms=DAY_MS, limit=10)
    assert not bulk.batches.tidy(retention_ms=DAY_MS, limit=10)


def test_a_file_is_its_tenants_own(bulk: Bulk) -> None:
    file = bulk.upload(CONTENT)
    with pytest.raises(FileNotFound):
        bulk.batches.file("other", file.id)
    with pytest.raises(FileNotFound):
        bulk.batches.delete_file("other", file.id)
    assert bulk.batches.files("other", Listing(10)) == []


def test_a_file_expires(bulk: Bulk) -> None:
    file = bulk.upload(CONTENT, ttl_ms=1000)
    bulk.clock.advance(1000)
    with pytest.raises(FileNotFound):
        bulk.batches.file("default", file.id)
    assert bulk.batches.files("default", Listing(10)) == []


def test_files_are_listed_by_their_age_in_pages(bulk: Bulk) -> None:
    made = []
    for number in range(4):
        bulk.clock.advance(1)
        made.append(bulk.upload(b"x", purpose="batch" if number % 2 else "user_data"))
    ids = [file.id for file in made]
    assert [file.id for file in bulk.batches.files("default", Listing(10))] == ids[::-1]
    assert [file.id for file in bulk.batches.files("default", Listing(2, after=ids[2]))] == [ids[1], ids[0]]
    assert [file.id for file in bulk.batches.files("default", Listing(2, after=ids[0], ascending=True))] == ids[1:3]
    assert [file.id for file in bulk.batches.files("default", Listing(10, purpose="batch"))] == [ids[3], ids[1]]
    with pytest.raises(FileNotFound):
        bulk.batches.files("default", Listing(10, after="file-none"))


def test_a_file_that_is_deleted_is_gone_at_once_and_its_bytes_soon(bulk: Bulk) -> None:
    file = bulk.upload(CONTENT)
    bulk.batches.delete_file("default", file.id)
    with pytest.raises(FileNotFound):
        bulk.batches.file("default", file.id)
    while bulk.batches.tidy(retention_ms=DAY_MS, limit=10):
        pass
    with pytest.raises(FileNotFound):
        bulk.content(file)


def test_the_input_of_a_batch_at_work_stays_until_that_has_ended(bulk: Bulk) -> None:
    batch = bulk.begun(short("a"))
    file_id = batch.request.input_file_id
    bulk.batches.delete_file("default", file_id)
    bulk.batches.tidy(retention_ms=DAY_MS, limit=10)
    bulk.passed(batch)
    bulk.worker().run()
    assert bulk.batches.settle(("default", batch.id)) is not None
    bulk.clock.advance(60_000)
    while bulk.batches.tidy(retention_ms=DAY_MS, limit=10):
        pass
    with pytest.raises(FileNotFound):
        list(bulk.batches.parts("default", file_id))
