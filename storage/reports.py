"""What workers report of themselves every few seconds, in Redis, for whoever shows the fleet. Never content.

A report has an expiry, so a worker that is gone is forgotten without anybody's clock: its age is counted by Redis, from
what is left of that expiry. Reports are a convenience: without Redis nobody is listed, and everything works.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import redis

from domain.exposition import Family
from domain.metrics import Metric, MetricType
from storage import redis_clients

EVERY_S = 2.0
"""The time between two reports of a worker."""

KEPT_MS = 15_000
"""How long a report counts: a worker that misses some is busy, one that misses all is gone."""

LAST_KEPT_MS = 60_000
"""How long the last report of a worker that ended in order is kept, so that what it counted is read once more."""

ANSWER_S = 1.0

WireFamily = tuple[str, MetricType, str, Sequence[tuple[str, Mapping[str, str], float]]]
"""A metric's name, type and help, and its samples."""


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """One worker, as it was a moment ago."""

    #: What it is called, such as `worker1@host`: its own among those that live.
    name: str
    #: This run of it.
    id: str
    #: How many prompts it runs at once, and how many of these places are taken.
    slots: int
    used: int
    #: How long it has run, in seconds.
    up_s: float
    #: Whether it claims no more, and ends when it has finished what it has.
    draining: bool = False
    #: Whether this is its last report.
    ended: bool = False
    #: What it did in the last minute, by name.
    minute: dict[str, int] = {}
    #: Its figures, unless it shows them itself, at a port of its own.
    families: list[WireFamily] = []

    def figures(self) -> list[Family]:
        """Return its figures."""
        return [Family(Metric(name, kind, text), samples) for name, kind, text, samples in self.families]


class Heard(msgspec.Struct, frozen=True):
    """A report, and how old it is."""

    report: Report
    age_ms: int


class Reports:
    """Writes and reads reports. Calls raise `redis.RedisError` or `OSError` if Redis does not answer."""

    def __init__(self, url: str, prefix: str, *, connections: int = 2) -> None:
        """Make one; nothing is connected yet."""
        self._client: Any = redis_clients.sync_client(
            url, connections=connections, connect_timeout_s=ANSWER_S, socket_timeout_s=ANSWER_S
        )
        self._prefix = prefix
        self._index = redis_clients.name(prefix, "workers")
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Report).decode

    def write(self, report: Report) -> None:
        """Replace a worker's report."""
        kept_ms = LAST_KEPT_MS if report.ended else KEPT_MS
        with self._client.pipeline(transaction=False) as pipeline:
            pipeline.set(self._key(report.id), self._encode(report), px=kept_ms)
            pipeline.sadd(self._index, report.id)
            pipeline.pexpire(self._index, LAST_KEPT_MS)
            pipeline.execute()

    def read(self) -> list[Heard]:
        """Return the latest report of each worker that counts, by name; of two runs of one name the later one."""
        ids = sorted(member.decode() for member in self._client.smembers(self._index))
        if not ids:
            return []
        with self._client.pipeline(transaction=False) as pipeline:
            for each in ids:
                pipeline.get(self._key(each))
                pipeline.pttl(self._key(each))
            answers = pipeline.execute()
        found: dict[str, Heard] = {}
        gone = []
        for each, document, left_ms in zip(ids, answers[::2], answers[1::2], strict=True):
            if document is None:
                gone.append(each)
                continue
            with contextlib.suppress(msgspec.DecodeError):  # of another version, in the midst of an upgrade
                report = self._decode(document)
                kept_ms = LAST_KEPT_MS if report.ended else KEPT_MS
                heard = Heard(report, max(0, kept_ms - left_ms))
                known = found.get(report.name)
                if known is None or _is_later(heard, known):
                    found[report.name] = heard
        if gone:
            self._client.srem(self._index, *gone)
        return [found[name] for name in sorted(found)]

    def close(self) -> None:
        """Let go of the connections."""
        with contextlib.suppress(redis.RedisError, OSError):
            self._client.close()

    def _key(self, worker_id: str) -> str:
        return redis_clients.name(self._prefix, "worker", worker_id)


def _is_later(one: Heard, other: Heard) -> bool:
    """Tell whether a run stands for its worker rather than another: it has not ended, or it began later."""
    began_ago = [heard.report.up_s + heard.age_ms / 1000 for heard in (one, other)]
    return (one.report.ended, began_ago[0]) < (other.report.ended, began_ago[1])
