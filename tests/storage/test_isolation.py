import pytest

from domain.errors import InvalidRequest, JobNotFound, SessionNotFound
from domain.prompts import Disposition
from domain.sessions import Creation
from storage.base import JobQuery, SessionQuery, Store
from tests.storage.actors import Worker, a_prompt, admit, create, texts


def test_another_tenants_session_is_as_if_it_were_not_there(store: Store) -> None:
    create(store, tenant="one")
    admit(store, tenant="one", message_id="msg_1")
    for ask in (
        lambda: store.session("two", "ses_a"),
        lambda: store.messages("two", "ses_a"),
        lambda: store.message("two", "ses_a", "msg_1"),
        lambda: store.update_session("two", "ses_a", {"title": "mine"}),
        lambda: store.delete_session("two", "ses_a"),
        lambda: store.abort_session("two", "ses_a"),
        lambda: store.admit("two", "ses_a", a_prompt(if_missing="fail")),
        lambda: store.fork_session("two", "ses_a", Creation("ses_b", given={"fork": {}}), before=None),
    ):
        with pytest.raises(SessionNotFound):
            ask()
    assert store.sessions("two", SessionQuery()) == []
    assert store.busy_sessions("two") == {}
    assert store.session("one", "ses_a").open_total == 1


def test_another_tenants_job_is_as_if_it_were_not_there(store: Store, worker: Worker) -> None:
    job = admit(store, tenant="one").job
    assert job is not None
    for ask in (store.job, store.cancel_job, store.retry_job):
        with pytest.raises(JobNotFound):
            ask("two", job.id)
    assert store.jobs("two", JobQuery()) == []
    assert store.jobs("two", JobQuery(session_id="ses_a")) == []
    assert store.jobs_by_id([("two", job.id)]) == {}
    assert worker.run() == [job.id]


def test_another_tenants_session_is_no_parent(store: Store) -> None:
    create(store, "ses_parent", tenant="one")
    with pytest.raises(InvalidRequest):
        create(store, tenant="two", parent_id="ses_parent")


def test_the_same_names_of_two_tenants_are_two_conversations(store: Store, worker: Worker) -> None:
    one = admit(store, tenant="one", text="of one", message_id="msg_1")
    two = admit(store, tenant="two", text="of two", message_id="msg_1")
    assert two.disposition is Disposition.ADMITTED
    assert two.session_created
    assert {each.job.tenant for each in worker.claim()} == {"one", "two"}
    worker.finish(store.job("one", one.message.job_id or ""), text="for one")
    assert texts(store.messages("one", "ses_a")) == ["of one", "for one"]
    assert texts(store.messages("two", "ses_a")) == ["of two"]
    later = admit(store, tenant="two", text="later").job
    assert later is not None
    assert store.history(later) == []
    store.delete_session("one", "ses_a")
    assert texts(store.messages("two", "ses_a")) == ["of two", "later"]


def test_a_workers_calls_span_tenants(store: Store, worker: Worker) -> None:
    jobs = [admit(store, f"ses_{number}", tenant=f"tenant {number}").job for number in range(3)]
    assert set(worker.run()) == {job.id for job in jobs if job is not None}
