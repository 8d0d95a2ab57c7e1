import pytest

from domain.errors import MessageNotFound
from domain.jobs import Outcome
from domain.messages import Role
from storage.base import Store
from tests.storage.actors import Worker, admit, admit_job, create, texts


def talk(store: Store, worker: Worker, turns: int) -> None:
    """So many turns with answers."""
    for number in range(1, turns + 1):
        admit(store, text=f"prompt {number}", message_id=f"msg_{number}")
    worker.run()


def test_messages_are_listed_by_their_prompts_order_user_first(store: Store, worker: Worker) -> None:
    for number in range(1, 4):
        # IDs that sort the other way round: the order is the sequence, never the ID.
        admit(store, text=f"prompt {number}", message_id=f"msg_{9 - number}")
    assert texts(store.messages("default", "ses_a")) == ["prompt 1", "prompt 2", "prompt 3"]
    worker.finish(worker.claim_one(), text="answer 1")
    messages = store.messages("default", "ses_a")
    assert texts(messages) == ["prompt 1", "answer 1", "prompt 2", "prompt 3"]
    assert [(message.seq, message.role) for message in messages] == [
        (1, Role.USER),
        (1, Role.ASSISTANT),
        (2, Role.USER),
        (3, Role.USER),
    ]


def test_an_empty_session_has_no_messages(store: Store) -> None:
    create(store)
    assert store.messages("default", "ses_a") == []
    assert store.messages("default", "ses_a", limit=5) == []


def test_a_limit_gives_the_latest_still_in_order(store: Store, worker: Worker) -> None:
    talk(store, worker, 3)
    everything = store.messages("default", "ses_a")
    assert len(everything) == 6
    for limit in range(1, 9):
        assert store.messages("default", "ses_a", limit=limit) == everything[-limit:]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_go_back_to_the_first_message_without_gap_or_repeat(store: Store, worker: Worker, limit: int) -> None:
    talk(store, worker, 4)
    everything = store.messages("default", "ses_a")
    seen = store.messages("default", "ses_a", limit=limit)
    while page := store.messages("default", "ses_a", limit=limit, before=(seen[0].seq, seen[0].role)):
        assert len(page) <= limit
        seen = page + seen
    assert seen == everything


def test_a_cursor_works_without_a_limit(store: Store, worker: Worker) -> None:
    talk(store, worker, 3)
    everything = store.messages("default", "ses_a")
    assert store.messages("default", "ses_a", before=(2, "assistant")) == everything[:3]
    assert store.messages("default", "ses_a", before=(2, "user")) == everything[:2]
    assert store.messages("default", "ses_a", before=(1, "user")) == []


def test_a_message_is_found_by_its_id_in_its_own_session(store: Store, worker: Worker) -> None:
    talk(store, worker, 1)
    create(store, "ses_b")
    prompt, answer = store.messages("default", "ses_a")
    assert store.message("default", "ses_a", prompt.id) == prompt
    assert store.message("default", "ses_a", answer.id) == answer
    with pytest.raises(MessageNotFound):
        store.message("default", "ses_b", prompt.id)


def test_a_model_is_shown_the_committed_turns_before_its_prompt_and_no_others(store: Store, worker: Worker) -> None:
    talk(store, worker, 2)
    admit(store, text="bad")
    worker.run(Outcome.FAILED)
    cancelled = admit_job(store, text="cancelled")
    store.cancel_job("default", cancelled.id)
    admit(store, text="note", no_reply=True)
    current = admit_job(store, text="current")
    admit(store, text="later note", no_reply=True)
    admit(store, text="later")
    worker.claim()
    shown = [(texts([turn.prompt]), texts([turn.answer]) if turn.answer else None) for turn in store.history(current)]
    assert shown == [
        (["prompt 1"], ["answer to prompt 1"]),
        (["prompt 2"], ["answer to prompt 2"]),
        (["note"], None),
    ]


def test_a_note_before_a_running_job_is_shown_to_the_next_only_in_its_place(store: Store, worker: Worker) -> None:
    first = admit_job(store, text="first")
    running = worker.claim_one()
    admit(store, text="note", no_reply=True)
    second = admit_job(store, text="second")
    assert store.history(first) == []
    worker.finish(running, text="answer")
    assert [texts([turn.prompt]) for turn in store.history(second)] == [["first"], ["note"]]


def test_history_is_of_the_jobs_own_session(store: Store, worker: Worker) -> None:
    talk(store, worker, 2)
    other = admit_job(store, "ses_b")
    assert store.history(other) == []
