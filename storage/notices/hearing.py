"""Hearing notices and events, of all tenants, over one connection for a whole process."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
from collections.abc import Callable

import redis
from redis.asyncio.client import PubSub

from domain.jobs import State
from storage import redis_clients
from storage.notices.names import Names
from storage.notices.publishing import Notice

log = logging.getLogger(__name__)

LONGEST_RECONNECT_S = 5.0
PING_S = 10.0
"""How often a silent subscription is probed; one that does not answer by the next probe is made anew."""


def _nothing(*_: object) -> None:
    """Hear nothing."""


class NoticeReader:
    """Hears what is told of all tenants, and makes its connection anew for ever."""

    def __init__(
        self,
        url: str,
        prefix: str,
        hear: Callable[[Notice], None],
        hear_events: Callable[[str, bytes], None] | None = None,
        changed: Callable[[bool], None] = _nothing,
    ) -> None:
        """Make a reader. What it calls is called on the event loop and must not block.

        Args:
            url: where the Redis is.
            prefix: of channels.
            hear: is called once a notice.
            hear_events: is called with a tenant and what its channel of events carries.
            changed: is told when it hears (True) and when it does not any more (False).
        """
        self._url = url
        self._names = Names(prefix)
        self._hear = hear
        self._hear_events = hear_events
        self._changed = changed
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
                if self.listening.is_set():
                    self.listening.clear()
                    self._changed(False)  # noqa: FBT003 - named where it is taken
            await asyncio.sleep(random.uniform(0, ceiling))
            ceiling = min(LONGEST_RECONNECT_S, ceiling * 2)

    async def _listen(self) -> None:
        client = redis_clients.async_client(self._url, connections=1)
        try:
            async with client, client.pubsub() as subscription:
                patterns = [_escaped(self._names.notices("")) + "*"]
                if self._hear_events is not None:
                    patterns.append(_escaped(self._names.events("")) + "*")
                await subscription.psubscribe(*patterns)
                await self._follow(subscription, len(patterns))
        finally:
            await client.connection_pool.disconnect()

    async def _follow(self, subscription: PubSub, patterns: int) -> None:
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
            if message["type"] == "psubscribe" and message["data"] == patterns:
                self.listening.set()
                self._changed(True)  # noqa: FBT003 - named where it is taken
            elif message["type"] == "pmessage":
                self._take(message["channel"].decode(), message["data"])

    def _take(self, channel: str, data: bytes) -> None:
        events = self._names.events("")
        if self._hear_events is not None and channel.startswith(events):
            self._hear_events(channel.removeprefix(events), data)
            return
        tenant = channel.removeprefix(self._names.notices(""))
        try:
            notices = [
                Notice(tenant, job_id, session_id, State(state)) for job_id, session_id, state in json.loads(data)
            ]
        except (ValueError, TypeError):
            log.warning("notice_not_understood", extra={"channel": channel})
            return
        for notice in notices:
            self._hear(notice)


def _end_if_cancelled() -> None:
    """Before Python 3.12, `asyncio.wait_for`, which redis-py uses, can swallow a cancellation: do not go on then."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _escaped(text: str) -> str:
    """Take the special meaning of its characters in a Redis pattern off a text."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
