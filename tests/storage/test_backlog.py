import pytest

from domain.errors import BacklogFull, SessionNotFound
from domain.prompts import Disposition
from storage.base import Store
from tests.storage.actors import Worker, admit, admit_job
from tests.support.keepers import Keeper

LIMIT = 5


@pytest.fixture
def store(keeper: Keeper) -> Store:
    """A store that takes few open jobs a tenant."""
    return keeper.open(backlog=LIMIT)


@pytest.fixture
def full(store: Store) -> Store:
    """A store whose backlog is full."""
    for number in range(LIMIT):
        admit(store, f"ses_{number}", message_id="msg_1")
    return store


def test_a_prompt_beyond_the_backlog_is_refused_and_leaves_nothing_behind(full: Store) -> None:
    with pytest.raises(BacklogFull) as refused:
        admit(full, "ses_new")
    assert (refused.value.limit, refused.value.retry_after_s > 0) == (LIMIT, True)
    with pytest.raises(SessionNotFound):
        full.session("default", "ses_new")
    before = full.session("default", "ses_0")
    with pytest.raises(BacklogFull):
        admit(full, "ses_0")
    assert full.session("default", "ses_0") == before


def test_what_is_kept_already_is_repeated_even_then(full: Store) -> None:
    assert admit(full, "ses_0", message_id="msg_1").disposition is Disposition.REPEATED


def test_a_note_makes_no_job_and_is_taken_even_then(full: Store) -> None:
    assert admit(full, "ses_0", no_reply=True).disposition is Disposition.ADMITTED
    assert admit(full, "ses_new", no_reply=True).session_created


def test_a_job_that_ends_makes_room(full: Store, worker: Worker) -> None:
    worker.finish(worker.claim(1)[0].job)
    admit(full, "ses_new")
    with pytest.raises(BacklogFull):
        admit(full, "ses_new")


def test_a_backlog_is_one_tenants(full: Store) -> None:
    assert admit(full, "ses_0", tenant="other").disposition is Disposition.ADMITTED


def test_a_retry_needs_room_too(full: Store) -> None:
    cancelled = admit_job(full, "ses_0", message_id="msg_1")
    full.cancel_job("default", cancelled.id)
    assert full.retry_job("default", cancelled.id).disposition is Disposition.ADMITTED
    with pytest.raises(BacklogFull):
        full.retry_job("default", cancelled.id)
