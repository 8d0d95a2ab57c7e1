"""Publishing: "this job is now in that state", and what happened to those who watch, after the commit and best effort.

Redis may be away, a publish may be lost, and nobody may be listening: who waits for a job re-reads the store now and
then. A notice holds names and states, never content; it is a compact JSON list of `[job ID, session ID, state]`, for a
tenant. Events hold content, and are made only for those who watch.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from domain.events import Bundle
from domain.ids import is_hidden
from domain.jobs import Job, State
from domain.record import Record
from storage import redis_clients
from storage.failpoints import failpoint
from storage.notices.names import Names
from storage.notices.wire import encode

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_S = 1.0
"""A Redis that takes longer is treated as away: who publishes has better things to do than to wait."""

PAUSE_S = 1.0
"""After a failed publish none is tried for this long."""

MOST_KEPT = 2_000
"""Bundles in one session's history, or some more: a hundred seconds of a model that never pauses."""

KEPT_MS = 600_000
"""How long a history outlives its latest bundle and its latest watcher."""

KEEP = """
-- Adds a bundle to a session's history, if the session is there, and publishes it with its place.
-- KEYS: the history; of an ephemeral session also a key that lives as long as the session does.
-- ARGV: the channel, the bundle, how many bundles to keep, how long (ms; unless the second key says it).
local left = tonumber(ARGV[4])
if KEYS[2] then
  left = redis.call('PTTL', KEYS[2])
end
local place = ''
if left > 0 then
  place = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'b', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], left)
end
return redis.call('PUBLISH', ARGV[1], place .. '\\n' .. ARGV[2])
"""

Name = tuple[str, str]
"""A tenant and a session ID."""

Watched = Mapping[Name, bool]
"""Of which sessions events are wanted, and whether their history is kept."""

Ask = Callable[[Collection[Name]], Watched]
"""Finds out which of these sessions are watched."""


@dataclass(frozen=True)
class Notice(Record):
    """One job's new state."""

    tenant: str
    job_id: str
    session_id: str
    state: State


class Notices:
    """Publishes notices and events. Safe to use from many threads; nothing that it does raises for Redis trouble."""

    def __init__(self, url: str | None, prefix: str) -> None:
        self._names = Names(prefix)
        self._client: Any = (
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
        if jobs:
            self.tell(jobs, (), lambda _: ())

    def tell(self, jobs: Sequence[Job], tenants: Collection[str], make: Callable[[Ask], Sequence[Bundle]]) -> bool:
        """Tell of a commit: first the events, to those who watch, then the new states of jobs, to those who wait.

        Args:
            jobs: whose state is told of.
            tenants: whose sessions changed.
            make: makes the events; called only if somebody watches something of these tenants, with the means to find
                out what.

        Returns:
            Whether Redis has it.
        """
        if self._client is None or time.monotonic() < self._again_at:
            return False
        try:
            bundles = make(self._watched) if tenants and self._anything_watched(tenants) else ()
            if jobs or bundles:
                self._publish(jobs, bundles)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return False
        self._worked()
        return True

    def forget(self, tenant: str, session_id: str, incarnation: int) -> None:
        """Remove the history of a session that is gone."""
        if self._client is None or time.monotonic() < self._again_at:
            return
        try:
            self._client.delete(self._names.history(tenant, session_id, incarnation)[0])
        except (redis.RedisError, OSError) as error:
            self._failed(error)

    def close(self) -> None:
        """Let go of the connections."""
        if self._client is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._client.close()

    def _anything_watched(self, tenants: Collection[str]) -> bool:
        return bool(self._client.exists(*(self._names.watched(tenant) for tenant in tenants)))

    def _watched(self, sessions: Collection[Name]) -> Watched:
        """Ask who watches these sessions. Not to be called outside of `tell`: trouble with Redis is handled there."""
        if not sessions:
            return {}
        tenants = list({tenant for tenant, _ in sessions})
        names = list(sessions)
        keys = [self._names.watched_whole(tenant) for tenant in tenants]
        keys += [self._names.watched_session(*session) for session in names]
        answers = self._client.mget(keys)
        whole = {tenant for tenant, answer in zip(tenants, answers, strict=False) if answer is not None}
        kept = (answer is not None for answer in answers[len(tenants) :])
        return {
            session: is_kept
            for session, is_kept in zip(names, kept, strict=True)
            if is_kept or (session[0] in whole and not is_hidden(session[1]))
        }

    def _publish(self, jobs: Sequence[Job], bundles: Sequence[Bundle]) -> None:
        notices: dict[str, list[tuple[str, str, str]]] = {}
        for job in jobs:
            notices.setdefault(job.tenant, []).append((job.id, job.session_id, job.state))
        failpoint("notices.before_publish")
        lines = [(bundle, encode(bundle)) for bundle in bundles]
        with self._client.pipeline(transaction=False) as pipeline:
            for bundle, data in lines:
                self._add(pipeline, bundle, data)
            for tenant, listed in notices.items():
                pipeline.publish(self._names.notices(tenant), json.dumps(listed, separators=(",", ":")))
            answers = pipeline.execute(raise_on_error=False)
            # A Redis that is full keeps nothing more, but carries what is only passed on.
            for number, (bundle, data) in enumerate(lines):
                if bundle.is_kept and isinstance(answers[number], redis.ResponseError):
                    self._add(pipeline, bundle.evolve(is_kept=False), data)
                    answers[number] = None
            answers += pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer

    def _add(self, pipeline: Any, bundle: Bundle, data: bytes) -> None:
        names, channel = self._names, self._names.events(bundle.tenant)
        if bundle.is_kept:
            keys = names.history(bundle.tenant, bundle.session_id, bundle.incarnation)
            pipeline.eval(KEEP, len(keys), *keys, channel, data, MOST_KEPT, KEPT_MS)
        else:
            pipeline.publish(channel, b"\n" + data)

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
