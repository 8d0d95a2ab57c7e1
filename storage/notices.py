"""Notices: "this job is now in that state", published after the commit that made it so, best effort.

A notice is a hint. Redis may be away, a publish may be lost, and nobody may be listening: who waits for a job re-reads
the store now and then. A notice holds names and states, never content.

One channel a tenant, `{prefix}notice:{tenant}`; a notice is a compact JSON list of `[job ID, session ID, state]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import redis
from redis.asyncio.client import PubSub

from domain.jobs import Job, State
from domain.record import Record
from storage import redis_clients
from storage.failpoints import failpoint

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_S = 1.0
"""A Redis that takes longer is treated as away: who publishes has better things to do than to wait."""

PAUSE_S = 1.0
"""After a failed publish none is tried for this long."""

LONGEST_RECONNECT_S = 5.0
PING_S = 10.0
"""How often a silent subscription is probed; one that does not answer by the next probe is made anew."""


@dataclass(frozen=True)
class Notice(Record):
    """One job's new state."""

    tenant: str
    job_id: str
    session_id: str
    state: State


class Notices:
    """Publishes notices. Safe to use from many threads; nothing that it does raises for Redis trouble."""

    def __init__(self, url: str | None, prefix: str) -> None:
        self._prefix = prefix
        self._client = (
            redis_clients.sync_client(
                url, connections=8, connect_timeout_s=PUBLISH_TIMEOUT_S, socket_timeout_s=PUBLISH_TIMEOUT_S
            )
            if url is not None
            else None
        )
        self._lock = threading.Lock()
        self._away = False
        self._again_at = 0.0

    def publish(self, jobs: Sequence[Job]) -> None:
        """Tell what has become of jobs: one message a tenant. Does nothing without a Redis, or while it is away."""
        if self._client is None or not jobs or time.monotonic() < self._again_at:
            return
        notices: dict[str, list[tuple[str, str, str]]] = {}
        for job in jobs:
            notices.setdefault(job.tenant, []).append((job.id, job.session_id, job.state))
        failpoint("notices.before_publish")
        try:
            with self._client.pipeline(transaction=False) as pipeline:
                for tenant, listed in notices.items():
                    pipeline.publish(_channel(self._prefix, tenant), json.dumps(listed, separators=(",", ":")))
                pipeline.execute()
        except (redis.RedisError, OSError) as error:
            self._failed(error)
        else:
            self._worked()

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._client.close()

    def _failed(self, error: Exception) -> None:
        with self._lock:
            self._again_at = time.monotonic() + PAUSE_S
            first, self._away = not self._away, True
        if first:
            log.warning("notices_not_published", extra={"error": type(error).__name__})

    def _worked(self) -> None:
        if not self._away:
            return
        with self._lock:
            again, self._away = self._away, False
        if again:
            log.info("notices_published_again")


class NoticeReader:
    """Hears the notices of all tenants over one connection, for a whole process, and makes it anew for ever."""

    def __init__(self, url: str, prefix: str, hear: Callable[[Notice], None]) -> None:
        """Make a reader; `hear` is called on the event loop, once a notice, and must not block."""
        self._url = url
        self._prefix = prefix
        self._hear = hear
        #: Set while notices would be heard.
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until cancelled. Reconnects with full jitter under a ceiling that doubles up to five seconds."""
        ceiling = 0.1
        while True:
            _end_if_cancelled()
            try:
                await self._listen()
            except (redis.RedisError, OSError, TimeoutError) as error:
                if self.listening.is_set():
                    log.warning("notices_not_heard", extra={"error": type(error).__name__})
                    ceiling = 0.1
            finally:
                self.listening.clear()
            await asyncio.sleep(random.uniform(0, ceiling))
            ceiling = min(LONGEST_RECONNECT_S, ceiling * 2)

    async def _listen(self) -> None:
        client = redis_clients.async_client(self._url, connections=1)
        try:
            async with client, client.pubsub() as subscription:
                await subscription.psubscribe(_escaped(_channel(self._prefix, "")) + "*")
                await self._follow(subscription)
        finally:
            await client.connection_pool.disconnect()

    async def _follow(self, subscription: PubSub) -> None:
        silent = False
        while True:
            _end_if_cancelled()
            # Any answer proves that the connection lives, the one to PING too.
            message = await subscription.get_message(timeout=PING_S)
            if message is None:
                if silent:
                    raise TimeoutError("the subscription is silent")
                silent = True
                await subscription.ping()
                continue
            silent = False
            if message["type"] == "psubscribe":
                self.listening.set()
            elif message["type"] == "pmessage":
                self._take(message["channel"], message["data"])

    def _take(self, channel: bytes, data: bytes) -> None:
        tenant = channel.decode().removeprefix(_channel(self._prefix, ""))
        try:
            notices = [
                Notice(tenant, job_id, session_id, State(state)) for job_id, session_id, state in json.loads(data)
            ]
        except (ValueError, TypeError):
            log.warning("notice_not_understood", extra={"channel": channel.decode(errors="replace")})
            return
        for notice in notices:
            self._hear(notice)


def _end_if_cancelled() -> None:
    """Before Python 3.12, `asyncio.wait_for`, which redis-py uses, can swallow a cancellation: do not go on then."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _channel(prefix: str, tenant: str) -> str:
    return redis_clients.name(prefix, "notice", tenant)


def _escaped(text: str) -> str:
    """Take the special meaning of its characters in a Redis pattern off a text."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
