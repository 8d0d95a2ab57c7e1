import pytest

from domain.errors import InvalidRequest, SessionDiffers, SessionExists, SessionNotFound
from domain.sessions import Creation
from storage.base import Store
from tests.storage.actors import Worker, admit, create
from tests.support.clocks import FakeClock


def test_a_session_is_created_as_asked_and_read_back(store: Store, clock: FakeClock) -> None:
    create(store, "ses_parent")
    creation = Creation(
        "ses_a",
        given={"title": "A", "metadata": {"k": [1, None]}},
        title="A",
        directory="/srv",
        parent_id="ses_parent",
        workspace_id="wrk_1",
        agent="plan",
        model="p/m",
        variant="high",
        metadata={"k": [1, None]},
        permission=[{"permission": "*", "action": "ask"}],
        on_failure="stop",
    )
    session, created = store.create_session("default", creation)
    assert created
    assert (session.created, session.updated, session.seq, session.open_total) == (clock.now, clock.now, 0, 0)
    for name in creation.__dict__.keys() - {"session_id", "given", "if_exists"}:
        assert getattr(session, name) == getattr(creation, name), name
    assert store.session("default", "ses_a") == session


def test_creating_it_again_returns_the_same_incarnation(store: Store, clock: FakeClock) -> None:
    first = create(store, title="A")
    clock.advance(5)
    again, created = store.create_session("default", Creation("ses_a", given={"title": "A"}, title="A"))
    assert not created
    assert again == first


def test_other_parameters_are_a_conflict_that_changes_nothing(store: Store) -> None:
    first = create(store, title="A", agent="plan")
    with pytest.raises(SessionDiffers) as differs:
        create(store, title="B", agent="build")
    assert differs.value.fields == ("agent", "title")
    assert store.session("default", "ses_a") == first


def test_parameters_that_one_side_did_not_give_are_not_compared(store: Store) -> None:
    first = create(store, title="A")
    assert create(store, agent="plan") == first
    assert create(store) == first


def test_a_session_that_must_be_new_is_refused_if_it_is_there(store: Store) -> None:
    new = Creation("ses_a", given={}, if_exists="error")
    assert store.create_session("default", new)[1]
    with pytest.raises(SessionExists):
        store.create_session("default", new)


def test_a_session_that_a_prompt_made_takes_the_first_parameters_given(store: Store, worker: Worker) -> None:
    made = admit(store, directory="/srv", workspace_id="wrk_1").session
    taken = create(store, title="A", on_failure="stop")
    assert (taken.incarnation, taken.title, taken.on_failure) == (made.incarnation, "A", "stop")
    assert (taken.directory, taken.workspace_id) == ("/srv", "wrk_1")
    assert taken.open_total == 1
    with pytest.raises(SessionDiffers):
        create(store, title="B")
    assert store.session("default", "ses_a") == taken
    assert len(worker.run()) == 1


def test_parameters_that_come_after_a_change_take_back_nothing_of_it(store: Store) -> None:
    admit(store)
    rules = [{"permission": "bash", "pattern": "*", "action": "deny"}]
    store.update_session("default", "ses_a", {"metadata": {"k": 1}, "permission": rules})
    taken = create(store, title="A")
    assert (taken.title, taken.metadata, taken.permission) == ("A", {"k": 1}, rules)


def test_a_prompt_to_a_created_session_does_not_change_its_parameters(store: Store) -> None:
    create(store, title="A", directory="/one")
    assert admit(store, directory="/two").session.directory == "/one"
    assert create(store, title="A", directory="/one").title == "A"


def test_a_new_session_with_a_parent_that_does_not_exist_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRequest) as refused:
        create(store, parent_id="ses_nobody")
    assert refused.value.field == "parentID"
    with pytest.raises(SessionNotFound):
        store.session("default", "ses_a")


def test_a_session_that_a_prompt_made_cannot_take_a_parent_that_does_not_exist(store: Store) -> None:
    made = admit(store).session
    with pytest.raises(InvalidRequest):
        create(store, parent_id="ses_nobody")
    assert store.session("default", "ses_a") == made


def test_a_session_that_is_not_there_is_not_found(store: Store) -> None:
    for ask in (
        lambda: store.session("default", "ses_a"),
        lambda: store.update_session("default", "ses_a", {"title": "A"}),
        lambda: store.delete_session("default", "ses_a"),
        lambda: store.abort_session("default", "ses_a"),
        lambda: store.messages("default", "ses_a"),
        lambda: store.message("default", "ses_a", "msg_1"),
    ):
        with pytest.raises(SessionNotFound) as missing:
            ask()
        assert missing.value.session_id == "ses_a"
