from typing import Any

import pytest

from storage.base import SessionQuery, Store
from tests.storage.actors import Worker, admit, create
from tests.support.clocks import FakeClock


def listed(store: Store, **query: Any) -> list[str]:
    """The IDs of the sessions that a query finds, in order."""
    return [session.id for session in store.sessions("default", SessionQuery(**query))]


def test_sessions_are_listed_the_latest_updated_first(store: Store, worker: Worker, clock: FakeClock) -> None:
    for name in "abc":
        create(store, f"ses_{name}")
        clock.advance(1)
    assert listed(store) == ["ses_c", "ses_b", "ses_a"]
    admit(store, "ses_a")
    clock.advance(1)
    assert listed(store) == ["ses_a", "ses_c", "ses_b"]
    store.update_session("default", "ses_b", {"title": "B"})
    clock.advance(1)
    assert listed(store) == ["ses_b", "ses_a", "ses_c"]
    worker.run()
    assert listed(store) == ["ses_a", "ses_b", "ses_c"]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_of_sessions_have_no_gap_or_repeat_even_at_one_time(store: Store, clock: FakeClock, limit: int) -> None:
    for number in range(7):
        create(store, f"ses_{number}")
        clock.advance(number % 2)
    everything = listed(store)
    assert sorted(everything) == [f"ses_{number}" for number in range(7)]
    seen: list[str] = []
    after = None
    while page := store.sessions("default", SessionQuery(limit=limit, after=after)):
        seen += [session.id for session in page]
        after = (page[-1].updated, page[-1].id)
    assert seen == everything


def test_sessions_can_be_asked_for_by_time_title_and_parent(store: Store, clock: FakeClock) -> None:
    create(store, "ses_old", title="Report")
    clock.advance(10)
    now = clock.now
    create(store, "ses_parent", title="100% done_now")
    create(store, "ses_child", title="the report of a child", parent_id="ses_parent")
    assert set(listed(store, since=now)) == {"ses_parent", "ses_child"}
    assert set(listed(store, search="REPORT")) == {"ses_old", "ses_child"}
    assert set(listed(store, roots=True)) == {"ses_old", "ses_parent"}
    assert listed(store, parent_id="ses_parent") == ["ses_child"]
    assert listed(store, search="report", since=now) == ["ses_child"]
    assert listed(store, parent_id="ses_old") == []


@pytest.mark.parametrize(
    ("search", "found"), [("0%", True), ("%d", False), ("e_n", True), ("o_e", False), ("\\", False)]
)
def test_a_search_is_for_the_text_as_it_is_written(store: Store, search: str, found: bool) -> None:
    create(store, "ses_a", title="100% done_now")
    assert listed(store, search=search) == (["ses_a"] if found else [])


def test_a_session_can_be_changed_in_what_a_caller_may_change(store: Store, clock: FakeClock) -> None:
    create(store, title="A", metadata={"k": 1})
    now = clock.advance(5)
    changes = {"title": "B", "metadata": {"n": [1, {"x": None}]}, "permission": [{"action": "deny"}], "archived": now}
    changed = store.update_session("default", "ses_a", changes)
    assert (changed.title, changed.metadata, changed.archived, changed.updated) == (
        "B",
        {"n": [1, {"x": None}]},
        now,
        now,
    )
    assert store.session("default", "ses_a") == changed
    # Sameness compares what was given first.
    assert create(store, title="A", metadata={"k": 1}) == changed


def test_a_change_keeps_the_queue_as_it_is(store: Store, worker: Worker) -> None:
    told = admit(store)
    store.update_session("default", "ses_a", {"title": "B"})
    assert store.session("default", "ses_a").open_total == 1
    assert told.job is not None
    assert worker.run() == [told.job.id]
