"""Prompts that come at once: each has its own outcome, whatever becomes of its neighbours."""

import threading
from concurrent.futures import Future
from typing import Any

import pytest

from domain.errors import BacklogFull, PromptDiffers, PromptqError, SessionBusy, SessionNotFound, StoreUnavailable
from domain.prompts import Admission, Disposition, Prompt
from storage.base import Store
from storage.sql import prepared_rows
from storage.sql.admission import Arrival, admit_together
from storage.sql.store import SqlStore
from storage.sql.transactions import RowRefused, Tx
from tests.storage.actors import Worker, a_prompt, admit, admit_at_once, admit_job, texts
from tests.storage.kinds import DATABASES
from tests.support.keepers import Keeper

databases = pytest.mark.parametrize("keeper", DATABASES, indirect=True)


def soon(store: Store, session_id: str, prompt: Prompt) -> "Future[Admission]":
    return store.admit_soon("default", session_id, prompt)


def test_what_comes_at_once_is_taken_each_into_its_place(store: Store) -> None:
    futures = [soon(store, f"ses_{number % 7}", a_prompt(str(number))) for number in range(100)]
    admissions = [future.result() for future in futures]
    assert sum(each.session_created for each in admissions) == 7
    for number in range(7):
        found = texts(store.messages("default", f"ses_{number}"))
        assert sorted(found, key=int) == [str(each) for each in range(number, 100, 7)]
    worker = Worker(store)
    done = 0
    while claimed := worker.claim():
        for each in claimed:
            worker.finish(each.job)
        done += len(claimed)
    assert done == 100


def test_a_key_that_comes_twice_at_once_is_one_job(store: Store) -> None:
    futures = [soon(store, "ses_a", a_prompt(message_id="msg_1")) for _ in range(20)]
    admissions = [future.result() for future in futures]
    assert [each.disposition for each in admissions].count(Disposition.ADMITTED) == 1
    assert len({each.job.id for each in admissions if each.job is not None}) == 1


def test_one_that_is_refused_is_no_concern_of_the_others(store: Store) -> None:
    admit(store, "ses_a", "first", message_id="msg_1")
    wanted: list[tuple[str, Prompt, type[Exception] | None]] = [
        ("ses_a", a_prompt("other", message_id="msg_1"), PromptDiffers),
        ("ses_a", a_prompt("second", when_busy="reject"), SessionBusy),
        ("ses_none", a_prompt(if_missing="fail"), SessionNotFound),
        ("ses_b", a_prompt("kept"), None),
    ]
    futures = [(soon(store, name, prompt), refusal) for name, prompt, refusal in wanted]
    for future, refusal in futures:
        assert refusal is None if future.exception() is None else isinstance(future.exception(), refusal or ())
    assert texts(store.messages("default", "ses_b")) == ["kept"]
    assert texts(store.messages("default", "ses_a")) == ["first"]


def test_one_that_interrupts_ends_what_is_there(store: Store) -> None:
    waiting = admit_job(store, "ses_a")
    admission = soon(store, "ses_a", a_prompt("now", when_busy="interrupt")).result()
    assert [each.id for each in admission.ended] == [waiting.id]


@databases
def test_prompts_to_one_session_follow_each_other_also_in_one_transaction(store: SqlStore) -> None:
    told = admit_at_once(store, [("ses_a", a_prompt(str(number), priority=number)) for number in range(3)])
    assert [(each.session_created, each.message.seq) for each in told if isinstance(each, Admission)] == [
        (True, 1),
        (False, 2),
        (False, 3),
    ]
    (head,) = Worker(store).claim()
    assert (head.job.seq, head.job.rank) == (1, 2), "the head is as urgent as the most urgent behind it"


@databases
def test_a_prompt_whose_session_is_held_is_left_and_taken_when_that_is_let_go(store: SqlStore, keeper: Keeper) -> None:
    if keeper.kind == "sqlite":
        assert_none_is_left(store)
        return
    admit(store, "ses_held")
    holding, enough = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        store_queue(tx)
        holding.set()
        assert enough.wait(30)

    holder = store._transactions.write_soon("hold", hold)
    assert holding.wait(30)
    held = soon(store, "ses_held", a_prompt("late"))
    free = soon(store, "ses_free", a_prompt())
    assert isinstance(free.result(30), Admission), "nobody waits for another's session"
    assert not held.done()
    enough.set()
    assert held.result(30).message.seq == 2
    holder.result(30)


def store_queue(tx: Tx) -> None:
    from storage.sql import queue

    queue.load_session(tx, "default", "ses_held", lock=True)


def assert_none_is_left(store: SqlStore) -> None:
    """SQLite has one writer: while it writes nobody holds anything."""
    arrivals = [Arrival("default", "ses_held", a_prompt()) for _ in range(3)]
    told = store._transactions.write("admit", lambda tx: admit_together(tx, arrivals, store._terms))
    assert all(isinstance(each, Admission) for each in told)


@databases
def test_a_row_that_the_database_refuses_takes_no_other_with_it(store: SqlStore) -> None:
    block = threading.Event()
    blockers = [store._transactions.write_soon("block", lambda _: block.wait(30)) for _ in range(2)]
    parts: list[dict[str, Any]] = [{"id": "prt_1", "type": "text", "text": "\ud800"}]
    futures = [soon(store, f"ses_{number}", a_prompt()) for number in range(5)]
    bad = soon(store, "ses_bad", Prompt(parts=parts, content_hash="x"))
    block.set()
    assert isinstance(bad.exception(30), RowRefused)
    assert all(isinstance(future.result(30), Admission) for future in futures)
    assert all(blocker.result(30) for blocker in blockers)
    with pytest.raises(SessionNotFound):
        store.session("default", "ses_bad")


@pytest.mark.parametrize("keeper", ["sqlite"], indirect=True)
def test_a_store_that_is_closed_says_so_at_once(keeper: Keeper, store: SqlStore) -> None:
    soon(store, "ses_a", a_prompt()).result(30)
    store.close()
    keeper.opened.clear()
    assert isinstance(soon(store, "ses_a", a_prompt()).exception(30), StoreUnavailable | PromptqError)


@pytest.mark.parametrize("keeper", ["postgres"], indirect=True)
def test_rows_that_are_too_large_for_one_statement_are_sent_in_several(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepared_rows, "LARGEST", 2_000)
    told = admit_at_once(store, [(f"ses_{number}", a_prompt(str(number) * 500)) for number in range(7)])
    assert [each.session_created for each in told if isinstance(each, Admission)] == [True] * 7
    worker = Worker(store)
    for each in worker.claim():
        worker.finish(each.job)
    assert all(len(store.messages("default", f"ses_{number}")) == 2 for number in range(7))


@databases
def test_prompts_that_come_while_the_store_closes_are_kept_or_told_so(keeper: Keeper, store: SqlStore) -> None:
    futures = [soon(store, f"ses_{number}", a_prompt()) for number in range(600)]
    store.close()
    keeper.opened.clear()
    outcomes = [future.exception(30) for future in futures]
    assert all(outcome is None or isinstance(outcome, StoreUnavailable) for outcome in outcomes)
    again = keeper.open()
    for number, outcome in enumerate(outcomes):
        if outcome is None:
            assert again.session("default", f"ses_{number}").seq == 1


@pytest.mark.parametrize("keeper", ["postgres"], indirect=True)
def test_a_repeat_is_recognised_though_its_session_is_held_and_the_backlog_full(keeper: Keeper) -> None:
    store = keeper.open(backlog=1)
    assert isinstance(store, SqlStore)
    first = admit(store, "ses_held", message_id="msg_1")
    holding, enough = threading.Event(), threading.Event()

    def hold(tx: Tx) -> None:
        store_queue(tx)
        holding.set()
        assert enough.wait(30)

    store._transactions.write_soon("hold", hold, waits=True)
    assert holding.wait(30)
    repeats = [soon(store, "ses_held", a_prompt(message_id="msg_1")) for _ in range(5)]
    refused = soon(store, "ses_new", a_prompt())
    assert isinstance(refused.exception(30), BacklogFull)
    enough.set()
    assert {future.result(30).message.job_id for future in repeats} == {first.message.job_id}
