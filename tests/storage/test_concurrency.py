"""Many callers at once, in real threads. The databases are opened twice, as two processes would open them."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import pytest

from domain.errors import PromptDiffers, PromptqError, SessionDiffers, SessionNotFound
from domain.jobs import Claimed, Outcome, State
from domain.prompts import Disposition
from domain.sessions import Creation
from storage.base import JobQuery, Store
from tests.storage.actors import LEASE_MS, Worker, admit, admit_job, create, finished, texts
from tests.support.clocks import FakeClock
from tests.support.keepers import Keeper
from tests.support.waiting import eventually

T = TypeVar("T")


@pytest.fixture
def stores(keeper: Keeper) -> list[Store]:
    """The same store, opened twice where that is possible."""
    return [keeper.open()] if keeper.kind == "memory" else [keeper.open(), keeper.open()]


@pytest.fixture
def store(stores: list[Store]) -> Store:
    """One of them."""
    return stores[0]


def at_once(calls: Sequence[Callable[[], T]]) -> list[T | PromptqError]:
    """Make all calls at the same moment; return what they returned, or what promptq raised."""
    barrier = threading.Barrier(len(calls))

    def make(call: Callable[[], T]) -> T | PromptqError:
        barrier.wait()
        try:
            return call()
        except PromptqError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(make, calls))


def test_of_many_who_create_the_same_session_one_creates_it(stores: list[Store]) -> None:
    def call(number: int) -> Callable[[], tuple[int, bool]]:
        def create_it() -> tuple[int, bool]:
            store = stores[number % len(stores)]
            session, created = store.create_session("default", Creation("ses_a", given={"title": "A"}, title="A"))
            return session.incarnation, created

        return create_it

    told = at_once([call(number) for number in range(50)])
    answers = [each for each in told if isinstance(each, tuple)]
    assert len(answers) == 50
    assert len({incarnation for incarnation, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1


def test_of_many_who_create_a_session_with_other_parameters_one_wins(stores: list[Store]) -> None:
    def call(number: int) -> Callable[[], str]:
        return lambda: create(stores[number % len(stores)], title=f"title {number}").title

    told = at_once([call(number) for number in range(20)])
    titles = [each for each in told if isinstance(each, str)]
    assert titles == [stores[0].session("default", "ses_a").title]
    assert all(isinstance(each, SessionDiffers) for each in told if not isinstance(each, str))


@pytest.mark.parametrize("key", [{"message_id": "msg_1"}, {"idempotency_key": "k"}])
def test_of_many_who_post_the_same_prompt_one_makes_the_job(stores: list[Store], key: dict[str, str]) -> None:
    def call(number: int) -> Callable[[], tuple[str, Disposition, bool]]:
        def post() -> tuple[str, Disposition, bool]:
            told = admit(stores[number % len(stores)], **key)
            assert told.job is not None
            return told.job.id, told.disposition, told.session_created

        return post

    told = at_once([call(number) for number in range(50)])
    answers = [each for each in told if isinstance(each, tuple)]
    assert len(answers) == 50
    assert len({job_id for job_id, _, _ in answers}) == 1
    assert Counter(disposition for _, disposition, _ in answers) == {
        Disposition.ADMITTED: 1,
        Disposition.REPEATED: 49,
    }
    assert sum(created for _, _, created in answers) == 1
    assert len(stores[0].jobs("default", JobQuery())) == 1


def test_of_many_who_post_other_content_under_one_key_one_wins(stores: list[Store]) -> None:
    def call(number: int) -> Callable[[], str]:
        return lambda: str(admit(stores[number % len(stores)], text=f"text {number}", message_id="msg_1").disposition)

    told = at_once([call(number) for number in range(20)])
    assert Counter(type(each) for each in told) == {str: 1, PromptDiffers: 19}
    assert len(stores[0].messages("default", "ses_a")) == 1


def test_prompts_posted_at_once_get_numbers_without_gap_or_repeat(stores: list[Store]) -> None:
    def call(number: int) -> Callable[[], int]:
        return lambda: admit_job(stores[number % len(stores)], text=f"text {number}", priority=number % 10).seq

    told = at_once([call(number) for number in range(40)])
    assert sorted(each for each in told if isinstance(each, int)) == list(range(1, 41))
    session = stores[0].session("default", "ses_a")
    assert (session.seq, session.open) == (40, (4,) * 10)
    assert [job.seq for job in stores[0].jobs("default", JobQuery()) if job.ready_at is not None] == [1]


def test_of_many_who_fork_to_the_same_id_one_does(stores: list[Store]) -> None:
    admit(stores[0])
    Worker(stores[0]).run()
    creation = Creation("ses_b", given={"fork": {"sessionID": "ses_a", "messageID": None}})

    def call(number: int) -> Callable[[], tuple[int, bool]]:
        def fork() -> tuple[int, bool]:
            session, created = stores[number % len(stores)].fork_session("default", "ses_a", creation, before=None)
            return session.incarnation, created

        return fork

    told = at_once([call(number) for number in range(20)])
    answers = [each for each in told if isinstance(each, tuple)]
    assert len({incarnation for incarnation, _ in answers}) == 1
    assert (len(answers), sum(created for _, created in answers)) == (20, 1)
    assert len(stores[0].messages("default", "ses_b")) == 2


def test_workers_that_claim_at_once_share_the_jobs(stores: list[Store]) -> None:
    jobs = {admit_job(stores[0], f"ses_{number}", priority=number % 10).id for number in range(60)}

    def call(number: int) -> Callable[[], list[Claimed]]:
        return lambda: Worker(stores[number % len(stores)], f"w{number}").claim(10)

    claimed: list[str] = []
    while len(claimed) < len(jobs):
        told = at_once([call(number) for number in range(8)])
        batches = [each for each in told if isinstance(each, list)]
        assert len(batches) == 8
        more = [each.job.id for batch in batches for each in batch]
        assert more
        claimed += more
    assert sorted(claimed) == sorted(jobs)


def test_an_end_that_is_told_by_many_is_taken_once(stores: list[Store]) -> None:
    admit(stores[0])
    job = Worker(stores[0]).claim_one()

    def call(number: int) -> Callable[[], int]:
        store = stores[number % len(stores)]
        end = finished(job, text=f"answer {number}")
        return lambda: len(store.exchange("w1", [end], slots=0, lease_ms=LEASE_MS).taken)

    told = at_once([call(number) for number in range(20)])
    assert sum(each for each in told if isinstance(each, int)) == 1
    assert len(stores[0].messages("default", "ses_a")) == 2


def test_admitting_while_the_last_job_ends_never_leaves_a_session_asleep(stores: list[Store]) -> None:
    store, other = stores[0], stores[-1]
    for number in range(25):
        name = f"ses_{number}"
        admit(store, name)
        job = Worker(store).claim_one()
        calls: list[Callable[[], object]] = [partial(admit, each, name) for each in (store, other, store)]
        calls.append(partial(Worker(other).finish, job))
        told = at_once(calls)
        assert not [each for each in told if isinstance(each, PromptqError)]
        head = store.busy_sessions("default")[name]
        assert (head.seq, head.state, head.ready_at is not None) == (2, State.QUEUED, True)
        assert len(Worker(store).run()) == 3


def test_cancelling_while_the_job_ends_gives_it_one_outcome(stores: list[Store]) -> None:
    store, other = stores[0], stores[-1]
    for number in range(20):
        name = f"ses_{number}"
        admit(store, name)
        behind = admit_job(store, name)
        job = Worker(store).claim_one()
        calls: list[Callable[[], object]] = [
            partial(other.cancel_job, "default", job.id),
            partial(Worker(store).finish, job, Outcome.TRANSIENT),
            partial(other.abort_session, "default", name),
        ]
        told = at_once(calls)
        assert not [each for each in told if isinstance(each, PromptqError)]
        assert store.job("default", job.id).state is State.CANCELLED
        assert store.job("default", behind.id).state is State.CANCELLED
        assert len(store.messages("default", name)) == 4
        assert store.session("default", name).open_total == 0


def test_deleting_while_others_post_leaves_whole_sessions_only(stores: list[Store]) -> None:
    store, other = stores[0], stores[-1]
    for number in range(15):
        name = f"ses_{number}"
        admit(store, name, message_id="msg_0")
        calls: list[Callable[[], object]] = [
            partial(other.delete_session, "default", name),
            *(partial(admit, each, name, message_id=f"msg_{turn}") for turn, each in enumerate((store, other), 1)),
        ]
        told = at_once(calls)
        assert not [each for each in told if isinstance(each, PromptqError)]
        open_jobs = store.jobs("default", JobQuery(session_id=name, states=[State.QUEUED]))
        try:
            session = store.session("default", name)
        except SessionNotFound:
            assert open_jobs == []
            continue
        messages = store.messages("default", name)
        assert [message.seq for message in messages] == list(range(1, session.seq + 1))
        assert {job.incarnation for job in open_jobs} <= {session.incarnation}
        assert len(open_jobs) == session.open_total == len(messages)
        assert len(Worker(store).run()) == session.open_total


TURNS = 10


def test_everything_at_once_answers_every_prompt_once_and_in_order(stores: list[Store], clock: FakeClock) -> None:
    """Callers post twice each, a worker loses all its leases, others work and mend."""
    store, other = stores[0], stores[-1]
    sessions = [f"ses_{number}" for number in range(4)]
    stop = threading.Event()
    background = [
        *(threading.Thread(target=work, args=[each, name, stop]) for each, name in ((store, "w1"), (other, "w2"))),
        threading.Thread(target=lose_and_mend, args=[other, clock, stop]),
    ]
    for thread in background:
        thread.start()
    try:
        told = at_once([partial(post, stores, name) for name in sessions])
        eventually(lambda: not store.busy_sessions("default"), timeout=60, what="all prompts end")
    finally:
        stop.set()
        for thread in background:
            thread.join()
    assert told == [None] * len(sessions)
    for name in sessions:
        failed = {job.seq for job in store.jobs("default", JobQuery(session_id=name, states=[State.FAILED]))}
        expected: list[str] = []
        for turn in range(1, TURNS + 1):
            expected += [f"{name} {turn}", "" if turn in failed else f"answer to {name} {turn}"]
        assert texts(store.messages("default", name)) == expected


def post(stores: Sequence[Store], name: str) -> None:
    """Post each prompt twice, under one key."""
    for turn in range(1, TURNS + 1):
        for store in (stores[0], stores[-1]):
            admit(store, name, text=f"{name} {turn}", message_id=f"msg_{turn}")


def work(store: Store, name: str, stop: threading.Event) -> None:
    """Be a good worker."""
    worker = Worker(store, name)
    while not stop.is_set():
        for each in worker.claim(2):
            worker.finish(each.job, text=f"answer to {texts([each.prompt])[0]}")
        stop.wait(0.001)


def lose_and_mend(store: Store, clock: FakeClock, stop: threading.Event) -> None:
    """Claim jobs and lose them at once; time passes."""
    forgetful = Worker(store, "forgetful")
    while not stop.wait(0.005):
        forgetful.claim(1, lease_ms=0)
        store.reconcile(limit=100)
        clock.advance(1)
