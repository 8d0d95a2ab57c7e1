from typing import Any

import pytest
import sqlalchemy as sa

from domain.errors import MessageNotFound, SessionDiffers, SessionNotFound
from domain.jobs import Outcome
from domain.sessions import Creation, Session
from storage.base import JobQuery, Store
from tests.storage.actors import Worker, admit, admit_job, create, texts
from tests.support.clocks import FakeClock


def fork(
    store: Store, source: str = "ses_a", target: str = "ses_b", before: str | None = None, **fields: Any
) -> tuple[Session, bool]:
    """Fork a session."""
    creation = Creation(target, given={"fork": {"sessionID": source, "messageID": before}}, **fields)
    return store.fork_session("default", source, creation, before=before)


def talk(store: Store, worker: Worker) -> None:
    """Three turns with answers, one that failed, a note, and one that is still open."""
    for number in range(1, 4):
        admit(store, text=f"prompt {number}", message_id=f"msg_{number}")
    worker.run()
    admit(store, text="bad", message_id="msg_bad")
    worker.run(Outcome.FAILED)
    admit(store, text="note", message_id="msg_note", no_reply=True)
    admit(store, text="open", message_id="msg_open")


def test_a_fork_begins_with_the_committed_turns(store: Store, worker: Worker, clock: FakeClock) -> None:
    create(store, title="T", directory="/srv", agent="plan", model="p/m", on_failure="stop")
    talk(store, worker)
    now = clock.advance(9)
    session, created = fork(store)
    assert created
    messages = store.messages("default", "ses_b")
    assert texts(messages) == [
        "prompt 1",
        "answer to prompt 1",
        "prompt 2",
        "answer to prompt 2",
        "prompt 3",
        "answer to prompt 3",
        "note",
    ]
    assert (session.title, session.directory, session.agent, session.model, session.on_failure) == (
        "T (fork)",
        "/srv",
        "plan",
        "p/m",
        "stop",
    )
    assert (session.created, session.updated, session.seq, session.open_total) == (now, now, 4, 0)
    assert store.session("default", "ses_b") == session
    assert store.jobs("default", JobQuery(session_id="ses_b")) == []


def test_the_copies_have_new_ids_and_no_keys(store: Store, worker: Worker) -> None:
    talk(store, worker)
    fork(store)
    copies = store.messages("default", "ses_b")
    originals = {message.id for message in store.messages("default", "ses_a")}
    assert originals.isdisjoint({message.id for message in copies})
    assert copies[1].detail["parentID"] == copies[0].id
    assert {(message.job_id, message.content_hash, message.idempotency_key) for message in copies} == {
        (None, None, None)
    }
    assert admit_job(store, "ses_b", text="prompt 1", message_id="msg_1").seq == 5


@pytest.mark.parametrize(("before", "count"), [("msg_1", 0), ("msg_2", 2), ("msg_note", 6), ("msg_open", 7), (None, 7)])
def test_a_fork_ends_before_the_message_it_names(store: Store, worker: Worker, before: str | None, count: int) -> None:
    talk(store, worker)
    session, _ = fork(store, before=before)
    messages = store.messages("default", "ses_b")
    assert len(messages) == count
    assert session.seq == (messages[-1].seq if messages else 0)


def test_a_fork_before_an_answer_leaves_the_whole_turn_out(store: Store, worker: Worker) -> None:
    talk(store, worker)
    answer = store.messages("default", "ses_a")[3]
    fork(store, before=answer.id)
    assert texts(store.messages("default", "ses_b")) == ["prompt 1", "answer to prompt 1"]


def test_a_fork_goes_on_from_its_history(store: Store, worker: Worker) -> None:
    talk(store, worker)
    fork(store, before="msg_2")
    job = admit_job(store, "ses_b", text="and now?")
    assert job.seq == 2
    assert [(texts([turn.prompt]), turn.answer and texts([turn.answer])) for turn in store.history(job)] == [
        (["prompt 1"], ["answer to prompt 1"])
    ]


def test_the_source_is_left_as_it_was(store: Store, worker: Worker) -> None:
    talk(store, worker)
    before = store.session("default", "ses_a"), store.messages("default", "ses_a")
    fork(store)
    assert (store.session("default", "ses_a"), store.messages("default", "ses_a")) == before


def test_the_same_fork_again_is_the_same_session_even_if_its_source_is_gone(store: Store, worker: Worker) -> None:
    talk(store, worker)
    first, _ = fork(store, before="msg_2")
    assert fork(store, before="msg_2") == (first, False)
    store.delete_session("default", "ses_a")
    assert fork(store, before="msg_2") == (first, False)


def test_an_id_that_is_taken_by_anything_else_is_a_conflict(store: Store, worker: Worker) -> None:
    talk(store, worker)
    create(store, "ses_x")
    fork(store, before="msg_2")
    create(store, "ses_created", title="C")
    admit(store, "ses_prompted")
    for source, target, before in [
        ("ses_a", "ses_b", None),
        ("ses_a", "ses_b", "msg_1"),
        ("ses_x", "ses_b", "msg_2"),
        ("ses_a", "ses_created", None),
        ("ses_a", "ses_prompted", None),
        ("ses_a", "ses_a", None),
    ]:
        kept = store.session("default", target)
        with pytest.raises(SessionDiffers):
            fork(store, source, target, before)
        assert store.session("default", target) == kept


def test_a_fork_needs_its_source_and_its_message(store: Store, worker: Worker) -> None:
    with pytest.raises(SessionNotFound):
        fork(store, "ses_nobody")
    create(store)
    with pytest.raises(MessageNotFound):
        fork(store, before="msg_nobody")
    with pytest.raises(SessionNotFound):
        store.session("default", "ses_b")


@pytest.mark.parametrize("keeper", ["postgres"], indirect=True)
def test_a_session_that_is_deleted_while_it_is_forked_leaves_no_empty_fork(store: Store, worker: Worker) -> None:
    talk(store, worker)
    seen: list[str] = []

    def delete_it(_connection: Any, _cursor: Any, sql: str, *_: Any) -> None:
        if "FROM message" in sql and not seen:
            seen.append(sql)
            store.delete_session("default", "ses_a")

    sa.event.listen(sa.Engine, "before_cursor_execute", delete_it)
    try:
        with pytest.raises(SessionNotFound):
            fork(store)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", delete_it)
    with pytest.raises(SessionNotFound):
        store.session("default", "ses_b")


def test_a_fork_can_be_created_again_by_its_name(store: Store, worker: Worker) -> None:
    talk(store, worker)
    session, _ = fork(store)
    assert create(store, "ses_b") == session


def test_a_fork_of_nothing_is_an_empty_session(store: Store) -> None:
    create(store)
    session, _ = fork(store)
    assert (session.seq, store.messages("default", "ses_b")) == (0, [])
    assert admit_job(store, "ses_b").seq == 1
