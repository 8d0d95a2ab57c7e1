"""Prompts that a benchmark writes into a database directly are such as promptq would have written."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.figures import Scale
from benchmarks.filling import TENANT, TEXT, Crowd, ended, fill
from benchmarks.ground import Ground, Place
from domain.jobs import State
from storage.base import JobQuery
from tests.support.postgres import PostgresServer
from tests.support.valkey import ValkeyServer


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, valkey: ValkeyServer, tmp_path: Path) -> Iterator[Place]:
    server: PostgresServer | None = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
    ground = Ground(tmp_path, valkey, Scale.TINY, postgres=server, tells=False)
    with ground.database(request.param) as made:
        yield made
    ground.close()


@pytest.mark.parametrize("together", [True, False])
def test_open_prompts_are_run_in_the_order_of_their_session_and_nothing_is_left(place: Place, together: bool) -> None:
    fill(place, Crowd(12, 4, "crowd"), together=together)
    ran: dict[str, list[int]] = {}
    while claimed := place.store.exchange("w", (), slots=100, lease_ms=60_000).claimed:
        assert len(claimed) == 4
        for each in claimed:
            assert each.prompt.parts[0]["text"] == TEXT
            assert each.prompt.id == each.job.message_id
            ran.setdefault(each.job.session_id, []).append(each.job.seq)
        got = place.store.exchange("w", [ended(each.job) for each in claimed], slots=0, lease_ms=60_000)
        assert len(got.taken) == 4
    assert ran == {f"ses_crowd_{number}": [1, 2, 3] for number in range(4)}
    assert place.store.busy_sessions(TENANT) == {}
    assert place.store.reconcile(limit=100).stamped == 0


def test_answered_prompts_are_history_with_their_answers(place: Place) -> None:
    fill(place, Crowd(12, 4, "crowd", answered=True))
    jobs = place.store.jobs(TENANT, JobQuery())
    assert {job.state for job in jobs} == {State.SUCCEEDED}
    assert len(jobs) == len({job.id for job in jobs}) == 12
    messages = place.store.messages(TENANT, "ses_crowd_3")
    assert [(message.seq, message.role.value) for message in messages] == [
        (seq, role) for seq in (1, 2, 3) for role in ("user", "assistant")
    ]
    assert place.store.session(TENANT, "ses_crowd_3").seq == 3
    assert not place.store.exchange("w", (), slots=100, lease_ms=60_000).claimed
