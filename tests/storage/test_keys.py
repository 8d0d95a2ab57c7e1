import pytest

from domain.errors import PromptDiffers, SessionBusy, SessionNotFound
from domain.jobs import State
from domain.prompts import Disposition
from storage.base import JobQuery, Store
from tests.storage.actors import Worker, admit, admit_job, create
from tests.support.clocks import FakeClock


def test_a_prompt_is_kept_with_its_message_and_its_job(store: Store, clock: FakeClock) -> None:
    told = admit(
        store,
        text="hello",
        message_id="msg_1",
        model="p/m",
        detail={"system": "be brief"},
        priority=7,
        max_attempts=2,
        timeout_ms=1_000,
        not_before=clock.now + 5,
        expires_at=clock.now + 9,
        batch_id="batch_1",
        directory="/srv",
    )
    assert (told.disposition, told.session_created, told.ended, told.interrupted) == (
        Disposition.ADMITTED,
        True,
        (),
        (),
    )
    job = told.job
    assert job is not None
    assert store.job("default", job.id) == job
    assert (job.state, job.seq, job.message_id, job.model, job.priority) == (State.QUEUED, 1, "msg_1", "p/m", 7)
    assert (job.max_attempts, job.timeout_ms, job.batch_id, job.created) == (2, 1_000, "batch_1", clock.now)
    assert (job.not_before, job.ready_at, job.expires_at) == (clock.now + 5, clock.now + 5, clock.now + 9)
    message = store.message("default", "ses_a", "msg_1")
    assert list(message.parts) == list(told.message.parts)
    assert (message.job_id, message.detail["system"], message.detail["model"]) == (job.id, "be brief", "p/m")
    assert store.session("default", "ses_a") == told.session
    assert (told.session.directory, told.session.seq, told.session.open_total) == ("/srv", 1, 1)


def test_a_prompt_to_a_session_that_is_there_says_so(store: Store) -> None:
    create(store)
    assert not admit(store).session_created


def test_a_prompt_that_only_continues_needs_a_session(store: Store) -> None:
    with pytest.raises(SessionNotFound):
        admit(store, if_missing="fail")
    with pytest.raises(SessionNotFound):
        store.session("default", "ses_a")
    create(store)
    assert admit(store, if_missing="fail").disposition is Disposition.ADMITTED


@pytest.mark.parametrize("key", [{"message_id": "msg_1"}, {"idempotency_key": "k"}])
def test_the_same_key_and_content_is_the_same_job(store: Store, clock: FakeClock, key: dict[str, str]) -> None:
    first = admit(store, **key)
    clock.advance(5)
    again = admit(store, **key)
    assert again.disposition is Disposition.REPEATED
    assert not again.session_created
    assert (again.job, again.message.id, again.session) == (first.job, first.message.id, first.session)
    assert len(store.jobs("default", JobQuery())) == 1


@pytest.mark.parametrize("key", [{"message_id": "msg_1"}, {"idempotency_key": "k"}])
def test_the_same_key_and_other_content_is_a_conflict_that_changes_nothing(store: Store, key: dict[str, str]) -> None:
    first = admit(store, **key)
    with pytest.raises(PromptDiffers) as differs:
        admit(store, text="something else", **key)
    assert differs.value.fields == (("messageID",) if "message_id" in key else ("Idempotency-Key",))
    assert store.session("default", "ses_a") == first.session
    assert len(store.jobs("default", JobQuery())) == 1


def test_a_prompt_without_a_key_is_always_new(store: Store) -> None:
    assert admit_job(store).id != admit_job(store).id


def test_keys_belong_to_their_session(store: Store) -> None:
    assert admit_job(store, "ses_a", message_id="msg_1").id != admit_job(store, "ses_b", message_id="msg_1").id
    assert admit_job(store, "ses_a", idempotency_key="k").id != admit_job(store, "ses_b", idempotency_key="k").id


def test_a_message_id_beats_an_idempotency_key(store: Store) -> None:
    first = admit_job(store, message_id="msg_1", idempotency_key="k")
    assert admit_job(store, message_id="msg_1", idempotency_key="other").id == first.id
    # The key beside a messageID was not used, so it is free.
    assert admit_job(store, text="other", idempotency_key="k").id != first.id


@pytest.mark.parametrize("key", [{"message_id": "msg_1"}, {"idempotency_key": "k"}])
@pytest.mark.parametrize("when_busy", ["reject", "interrupt"])
def test_a_repeat_has_no_effect_whatever_it_says_of_a_busy_session(
    store: Store, worker: Worker, key: dict[str, str], when_busy: str
) -> None:
    first = admit_job(store, **key)
    behind = admit_job(store)
    running = worker.claim_one()
    again = admit(store, when_busy=when_busy, if_missing="fail", **key)
    assert (again.disposition, again.ended, again.interrupted) == (Disposition.REPEATED, (), ())
    assert again.job == running
    assert running.id == first.id
    assert store.job("default", behind.id).state is State.QUEUED


def test_a_repeat_of_an_ended_prompt_returns_its_end(store: Store, worker: Worker) -> None:
    admit(store, message_id="msg_1")
    worker.run()
    again = admit(store, message_id="msg_1").job
    assert again is not None
    assert again.state is State.SUCCEEDED


def test_the_id_of_an_answer_is_no_key(store: Store, worker: Worker) -> None:
    job = admit_job(store)
    worker.run()
    answer = store.answer("default", "ses_a", job.incarnation, job.seq)
    assert answer is not None
    with pytest.raises(PromptDiffers):
        admit(store, message_id=answer.id)


def test_the_id_of_an_answer_that_is_under_way_is_no_key(store: Store, worker: Worker) -> None:
    admit(store)
    running = worker.claim_one()
    assert running.assistant_id is not None
    before = store.session("default", "ses_a")
    with pytest.raises(PromptDiffers):
        admit(store, message_id=running.assistant_id, when_busy="interrupt")
    assert store.session("default", "ses_a") == before
    assert worker.finish(running).taken[0].state is State.SUCCEEDED


def test_a_busy_session_refuses_a_prompt_that_wants_an_idle_one(store: Store, worker: Worker) -> None:
    assert admit(store, when_busy="reject").disposition is Disposition.ADMITTED
    before = store.session("default", "ses_a")
    with pytest.raises(SessionBusy):
        admit(store, when_busy="reject")
    assert store.session("default", "ses_a") == before
    worker.run()
    assert admit(store, when_busy="reject").disposition is Disposition.ADMITTED


def test_a_prompt_without_reply_has_its_place_and_its_key_but_no_job(store: Store, worker: Worker) -> None:
    first = admit_job(store)
    told = admit(store, text="note", no_reply=True, message_id="msg_note")
    after = admit_job(store, text="after")
    assert (told.job, told.message.seq, after.seq) == (None, 2, 3)
    again = admit(store, text="note", no_reply=True, message_id="msg_note")
    assert (again.disposition, again.message.id, again.job) == (Disposition.REPEATED, "msg_note", None)
    with pytest.raises(PromptDiffers):
        admit(store, text="note", message_id="msg_note")
    assert worker.run() == [first.id, after.id]


def test_a_note_to_an_idle_session_leaves_it_idle(store: Store, worker: Worker) -> None:
    told = admit(store, no_reply=True)
    assert (told.session_created, told.session.open_total) == (True, 0)
    assert worker.claim() == []


def test_any_text_is_kept_as_it_was(store: Store, worker: Worker) -> None:
    text = "naïve 🙂 \u0000 \"quotes\" 'n' \\ %s %(x)s :x ; -- \r\n\t" + "é" * 100_000
    told = admit(store, text=text)
    assert store.message("default", "ses_a", told.message.id).parts[0]["text"] == text
    job = worker.claim_one()
    worker.finish(job, text=text)
    answer = store.answer("default", "ses_a", job.incarnation, job.seq)
    assert answer is not None
    assert answer.parts[0]["text"] == text
