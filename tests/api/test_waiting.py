"""Waiting over HTTP: woken by notices, and not lost without them."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx2
import pytest

from api.waiters import Waiters
from domain.errors import JobNotFound, StoreUnavailable
from domain.jobs import Failure, Job, Outcome, State
from storage.notices import Notice
from tests.api.conftest import Api, Apis, a_prompt
from tests.storage.actors import Worker, admit_job
from tests.support.memory_store import MemoryStore
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually, eventually_async


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


def ask(pool: ThreadPoolExecutor, api: Api, text: str = "hi", **fields: object) -> Future[httpx2.Response]:
    """Post a prompt that waits, from a thread; return once it is kept."""
    known = len(api.get("/job").json())
    future = pool.submit(api.post, "/session/ses_a/message", a_prompt(text, **fields))
    eventually(lambda: len(api.get("/job").json()) > known)
    return future


def test_a_prompt_that_waits_is_answered_with_the_assistant_message(api: Api, pool: ThreadPoolExecutor) -> None:
    future = ask(pool, api, messageID="msg_1")
    api.worker.run()
    answer = future.result(10)
    assert answer.status_code == 200
    assert answer.headers["promptq-session"] == "created"
    assert answer.json()["info"]["parentID"] == "msg_1"
    assert answer.json()["parts"][0]["text"] == "answer to hi"
    job = api.job(answer)
    assert job["state"] == "succeeded"
    assert job["assistantID"] == answer.json()["info"]["id"]


def test_a_prompt_that_waits_again_gets_the_same_answer(api: Api, pool: ThreadPoolExecutor) -> None:
    future = ask(pool, api, messageID="msg_1")
    api.worker.run()
    again = api.post("/session/ses_a/message", a_prompt(messageID="msg_1"))
    assert again.json() == future.result(10).json()
    assert again.headers["location"] == future.result(10).headers["location"]


def test_a_prompt_without_success_is_answered_with_its_error(api: Api, pool: ThreadPoolExecutor) -> None:
    future = ask(pool, api)
    api.worker.finish(api.worker.claim_one(), Outcome.FAILED, text="half", failure=Failure("internal_error", "broken"))
    answer = future.result(10)
    assert answer.status_code == 200
    assert answer.json()["info"]["error"] == {"name": "UnknownError", "data": {"message": "broken"}}
    future = ask(pool, api, "2")
    api.post("/session/ses_a/abort")
    assert future.result(10).json()["info"]["error"]["name"] == "MessageAbortedError"


def test_who_waits_while_the_session_is_deleted_is_told_that_it_was_aborted(api: Api, pool: ThreadPoolExecutor) -> None:
    future = ask(pool, api)
    api.client.delete("/session/ses_a")
    answer = future.result(10)
    assert answer.status_code == 200
    assert answer.json()["info"]["error"]["name"] == "MessageAbortedError"


def test_waiting_for_a_job_ends_with_it_or_with_the_time(api: Api, pool: ThreadPoolExecutor) -> None:
    where = api.prompt().headers["location"]
    started = time.monotonic()
    answer = api.get(f"{where}/wait?timeout=0.05")
    assert time.monotonic() - started < 5
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    assert api.get(f"{where}/wait?timeout=0").json()["waiting"] == {"for": "worker"}
    future = pool.submit(api.get, f"{where}/wait")
    api.worker.run()
    assert future.result(10).json()["state"] == "succeeded"
    assert api.get(f"{where}/wait?timeout=300").json()["state"] == "succeeded"


@pytest.mark.parametrize("timeout", ["301", "-1", "nan", "inf", "x", ""])
def test_a_wait_has_limits(memory_apis: Apis, timeout: str) -> None:
    answer = memory_apis.start().get(f"/job/job_1/wait?timeout={timeout}")
    assert (answer.status_code, answer.json()["data"]["field"]) == (400, "timeout")


def test_a_notice_wakes_who_waits_long_before_the_store_is_read_again(
    apis: Apis, valkey: ValkeyServer, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.waiters.LOOK_S", 3600)
    api = apis.start(redis_url=valkey.url)
    where = api.prompt().headers["location"]
    future = pool.submit(api.get, f"{where}/wait?timeout=60")
    (claimed,) = api.worker.claim(1)
    eventually(lambda: api.client.app.state.means.waiters._waiting)  # type: ignore[attr-defined]
    ended = api.worker.finish(claimed.job).taken

    def heard() -> bool:
        api.worker._notices.publish(ended)  # the reader may not have subscribed yet
        return future.done()

    eventually(heard)
    assert future.result().json()["state"] == "succeeded"


def test_waits_end_though_redis_was_away_at_the_start_and_goes_away_later(
    apis: Apis, valkey: ValkeyServer, pool: ThreadPoolExecutor
) -> None:
    valkey.kill()
    api = apis.start(redis_url=valkey.url)
    assert api.get("/readyz").json() == {"status": "ok", "degraded": ["redis"]}
    future = ask(pool, api, "1")
    api.worker.run()
    assert future.result(10).status_code == 200
    valkey.start()
    eventually(lambda: api.get("/readyz").json()["degraded"] == [])
    valkey.freeze()
    try:
        started = time.monotonic()
        assert api.get("/readyz").json()["degraded"] == ["redis"]
        future = ask(pool, api, "2")
        assert api.post("/session/ses_b/message", a_prompt(noReply=True)).status_code == 200
        api.worker.run()
        assert future.result(10).json()["parts"][0]["text"] == "answer to 2"
        assert time.monotonic() - started < 10
    finally:
        valkey.thaw()


def test_many_waiters_share_one_reading_of_the_store() -> None:
    class Counting(MemoryStore):
        readings = 0

        def jobs_by_id(self, names: object) -> dict[str, Job]:
            self.readings += 1
            return super().jobs_by_id(names)  # type: ignore[arg-type]

    store = Counting()
    jobs = [admit_job(store, f"ses_{number}") for number in range(50)]

    async def scene() -> list[Job]:
        waiters = Waiters(store)
        looking = asyncio.create_task(waiters.run())
        waits = [asyncio.create_task(waiters.wait_for("default", job.id, 30)) for job in jobs]
        await eventually_async(lambda: store.readings > 0)
        Worker(store).run()
        ended = await asyncio.gather(*waits)
        assert not waiters._waiting
        looking.cancel()
        return ended

    assert {job.state for job in asyncio.run(scene())} == {State.SUCCEEDED}
    assert store.readings < 10


def test_a_store_that_is_away_for_a_while_only_delays_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.waiters.LOOK_S", 0.01)

    class Flaky(MemoryStore):
        failures = 0

        def jobs_by_id(self, names: object) -> dict[str, Job]:
            self.failures += 1
            if self.failures < 4:
                raise StoreUnavailable("away")
            if self.failures < 8:
                raise RuntimeError("nobody expected this")
            return super().jobs_by_id(names)  # type: ignore[arg-type]

    store = Flaky()
    job = admit_job(store)
    Worker(store).run()

    async def scene() -> Job:
        waiters = Waiters(store)
        looking = asyncio.create_task(waiters.run())
        try:
            return await waiters.wait_for("default", job.id, 30)
        finally:
            looking.cancel()

    assert asyncio.run(scene()).state is State.SUCCEEDED


def test_an_end_that_was_heard_of_just_before_somebody_waits_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.waiters.LOOK_S", 3600)
    store = MemoryStore()
    job = admit_job(store)
    Worker(store).run()

    async def scene() -> Job:
        waiters = Waiters(store)
        looking = asyncio.create_task(waiters.run())
        try:
            waiters.hear(Notice("default", job.id, job.session_id, State.SUCCEEDED))
            for number in range(100):
                waiters.hear(Notice("default", f"job_{number}", "ses_b", State.SUCCEEDED))
            return await waiters.wait_for("default", job.id, 30, seen_open=True)
        finally:
            looking.cancel()

    assert asyncio.run(scene()).state is State.SUCCEEDED


def test_ends_that_nobody_waits_for_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.waiters.MOST_HEARD", 10)
    waiters = Waiters(MemoryStore())
    for number in range(1000):
        waiters.hear(Notice("default", f"job_{number}", "ses_b", State.SUCCEEDED))
    assert len(waiters._heard) == 10


def test_a_job_that_is_not_there_is_not_waited_for() -> None:
    async def scene() -> None:
        waiters = Waiters(MemoryStore())
        looking = asyncio.create_task(waiters.run())
        waiters.hear(Notice("default", "job_unknown", "ses_a", State.SUCCEEDED))
        with pytest.raises(JobNotFound):
            await waiters.wait_for("default", "job_none", 30)
        looking.cancel()

    asyncio.run(scene())


def test_a_job_is_given_to_no_other_tenant_that_waits_for_it_at_the_same_time() -> None:
    store = MemoryStore()
    job = admit_job(store, tenant="one")
    Worker(store).run()

    async def scene() -> None:
        waiters = Waiters(store)
        of_one = asyncio.create_task(waiters.wait_for("one", job.id, 30))
        of_two = asyncio.create_task(waiters.wait_for("two", job.id, 30))
        await eventually_async(lambda: len(waiters._waiting) == 2)
        looking = asyncio.create_task(waiters.run())
        assert (await of_one).id == job.id
        with pytest.raises(JobNotFound):
            await of_two
        looking.cancel()

    asyncio.run(scene())
