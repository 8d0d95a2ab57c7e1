"""Notices tell who waits that a job has changed; they may be lost, and must never hurt."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from domain.jobs import Job, State
from storage.notices import Notice, NoticeReader, Notices
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually_async

PREFIX = "a*b[c]:"


def job(number: int, tenant: str = "default", state: State = State.SUCCEEDED) -> Job:
    return Job(
        tenant=tenant,
        id=f"job_{number}",
        session_id="ses_1",
        incarnation=1,
        seq=number,
        message_id=f"msg_{number}",
        model="echo/echo",
        agent="build",
        created=0,
        state=state,
    )


@asynccontextmanager
async def reading(url: str, hear: Callable[[Notice], None]) -> AsyncIterator[NoticeReader]:
    reader = NoticeReader(url, PREFIX, hear)
    task = asyncio.create_task(reader.run())
    try:
        yield reader
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_a_reader_hears_what_is_published_of_every_tenant(valkey: ValkeyServer) -> None:
    heard: list[Notice] = []

    async def scene() -> None:
        async with reading(valkey.url, heard.append) as reader:
            await asyncio.wait_for(reader.listening.wait(), 5)
            Notices(valkey.url, "other:").publish([job(9)])
            notices = Notices(valkey.url, PREFIX)
            notices.publish([job(1), job(2, state=State.FAILED), job(3, tenant="acme")])
            await eventually_async(lambda: len(heard) == 3)
            notices.close()

    asyncio.run(scene())
    assert heard == [
        Notice("default", "job_1", "ses_1", State.SUCCEEDED),
        Notice("default", "job_2", "ses_1", State.FAILED),
        Notice("acme", "job_3", "ses_1", State.SUCCEEDED),
    ]


def test_a_reader_hears_again_after_redis_was_killed_and_restarted(valkey: ValkeyServer) -> None:
    heard: list[Notice] = []

    async def scene() -> None:
        notices = Notices(valkey.url, PREFIX)
        async with reading(valkey.url, heard.append) as reader:
            await asyncio.wait_for(reader.listening.wait(), 5)
            valkey.kill()
            await eventually_async(lambda: not reader.listening.is_set())
            notices.publish([job(1)])
            valkey.start()
            await asyncio.wait_for(reader.listening.wait(), 10)

            def published_and_heard() -> bool:
                notices.publish([job(2)])
                return bool(heard)

            await eventually_async(published_and_heard)
        notices.close()

    asyncio.run(scene())
    assert {notice.job_id for notice in heard} == {"job_2"}


def test_a_message_that_is_no_notice_is_passed_over(valkey: ValkeyServer) -> None:
    heard: list[Notice] = []

    async def scene() -> None:
        async with reading(valkey.url, heard.append) as reader:
            await asyncio.wait_for(reader.listening.wait(), 5)
            from storage import redis_clients

            with redis_clients.sync_client(valkey.url) as client:
                for nonsense in ("{", "[1]", '[["a","b","c"]]', "3"):
                    client.publish(PREFIX + "notice:default", nonsense)
            Notices(valkey.url, PREFIX).publish([job(1)])
            await eventually_async(lambda: len(heard) == 1)

    asyncio.run(scene())


def test_publishing_without_a_redis_does_nothing() -> None:
    Notices(None, PREFIX).publish([job(1)])


def test_publishing_to_a_redis_that_is_away_is_logged_once_and_raises_nothing(
    tmp_path: object, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.notices.publishing.PAUSE_S", 0.0)
    notices = Notices(f"unix://{tmp_path}/none.sock", PREFIX)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            notices.publish([job(1)])
    assert [record.message for record in caplog.records] == ["notices_not_published"]


def test_a_frozen_redis_costs_publishers_little(valkey: ValkeyServer) -> None:
    notices = Notices(valkey.url, PREFIX)
    notices.publish([job(1)])
    valkey.freeze()
    try:
        start = time.monotonic()
        for _ in range(100):
            notices.publish([job(1)])
        assert time.monotonic() - start < 3
    finally:
        valkey.thaw()
    notices.close()
