"""One session as it was read, what a decision changes of it, and the one script that writes that or nothing.

Redis locks nothing here: whoever changes a session reads it with its version, decides, and hands the changes to a
script that writes them only if the version is still the same. Who lost reads and decides again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import redis

from domain import lifecycle
from domain.clock import Clock, Millis
from domain.ephemeral import lifetime
from domain.errors import StoreUnavailable
from domain.jobs import Job
from domain.lifecycle import Change
from domain.messages import Message, Role
from domain.sessions import Session
from storage.documents import encode, job_of, message_of, session_of
from storage.ephemeral.keys import Keys

T = TypeVar("T")

COMMIT = """
-- KEYS: the session's hash, its open jobs, its place, its history. ARGV: the version that was read ('' if there was no
-- session), the new version ('' to remove the session), how long the keys live (ms), then commands, each as a count and
-- its words.
if (redis.call('HGET', KEYS[1], 'v') or '') ~= ARGV[1] then
  return 0
end
local at = 4
while ARGV[at] do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
if ARGV[2] == '' then
  redis.call('DEL', unpack(KEYS))
  return 1
end
redis.call('HSET', KEYS[1], 'v', ARGV[2])
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ARGV[3])
end
return 1
"""

MOST_TRIES = 100
LOCKS = 64

Client = Any
"""A `redis.Redis` that gives bytes: redis-py's types allow for text in every answer."""

Name = tuple[str, str]
"""A tenant and a session ID."""


class Snapshot:
    """A session as it was read, and what is to be changed of it."""

    def __init__(self, keys: Keys, client: Client, name: Name, *, now: Millis, default_ttl_ms: Millis) -> None:
        self.now = now
        self.tenant, self.session_id = name
        #: The session as it is, with the changes so far; None if there is none.
        self.session: Session | None = None
        #: The open jobs as they were read, by sequence number.
        self.open: dict[str, int] = {}
        self._keys = keys
        self._client = client
        self._default_ttl_ms = default_ttl_ms
        self._version = b""
        self._hash = keys.session(self.tenant, self.session_id)
        self._jobs: dict[str, Job | None] = {}
        self._written: dict[str, Job] = {}
        self._commands: list[tuple[bytes | str | int, ...]] = []
        self._changed = False
        self._removed: list[str] = []

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to write."""
        return self._changed

    @property
    def current(self) -> Session:
        """The session, where it is known to be there."""
        assert self.session is not None  # noqa: S101 - callers have looked
        return self.session

    def job(self, job_id: str) -> Job | None:
        """Return a job of the session, with the changes so far."""
        if job_id in self._written:
            return self._written[job_id]
        if job_id not in self._jobs:
            document = self._client.hget(self._hash, f"j:{job_id}")
            self._jobs[job_id] = job_of(document) if document else None
        return self._jobs[job_id]

    def open_jobs(self) -> list[Job]:
        """Return the open jobs, in order."""
        names = sorted(self.open, key=self.open.__getitem__)
        self.load_jobs(names)
        found = (self.job(job_id) for job_id in names)
        return [job for job in found if job is not None and job.state.is_open]

    def load_jobs(self, job_ids: Sequence[str]) -> None:
        """Read several jobs at once."""
        missing = [job_id for job_id in job_ids if job_id not in self._jobs]
        if missing:
            documents = self._client.hmget(self._hash, [f"j:{job_id}" for job_id in missing])
            for job_id, document in zip(missing, documents, strict=True):
                self.take_job(job_id, document)

    def take_job(self, job_id: str, document: bytes | None) -> None:
        """Note a job that was read elsewhere."""
        self._jobs[job_id] = job_of(document) if document else None

    def head_id(self) -> str | None:
        """Return the ID of the open job with the lowest sequence number."""
        return min(self.open, key=self.open.__getitem__, default=None)

    def message(self, message_id: str) -> Message | None:
        """Return a message by its ID."""
        return self._message_at(self._client.hget(self._hash, f"n:{message_id}"))

    def message_for_key(self, idempotency_key: str) -> Message | None:
        """Return the user message that came with an Idempotency-Key."""
        return self._message_at(self._client.hget(self._hash, f"i:{idempotency_key}"))

    def _message_at(self, place: bytes | None) -> Message | None:
        document = self._client.hget(self._hash, place) if place else None
        return message_of(document) if document else None

    def take(self, session: Session | None, version: bytes, open_jobs: Iterable[tuple[bytes, float]]) -> None:
        """Note what was read."""
        self.session = session
        self._version = version
        self.open = {job_id.decode(): int(seq) for job_id, seq in open_jobs}

    def apply(self, change: Change) -> None:
        """Change what a decision changes, and stamp the session's head."""
        self.session = change.session
        for job in change.jobs:
            self.put(job)
        for message in change.messages:
            self._put_message(message)
        self.stamp()

    def put(self, job: Job) -> None:
        """Change or add a job."""
        self._changed = True
        self._written[job.id] = job
        if job.state.is_open:
            self.open[job.id] = job.seq
        else:
            self.open.pop(job.id, None)

    def stamp(self) -> None:
        """Stamp the head. Every change to a queue ends with this."""
        self._changed = True
        head_id = self.head_id()
        head = self.job(head_id) if head_id is not None else None
        if head is not None:
            stamped = lifecycle.stamp(self.current, head, self.now)
            if stamped is not head:
                self.put(stamped)

    def save(self, session: Session) -> None:
        """Change the session alone."""
        self._changed = True
        self.session = session

    def remove(self) -> None:
        """Remove the session and all that is its own."""
        self._changed = True
        self._removed = self._of_incarnation(self.current)
        for job in self.open_jobs():
            self._index(job, None)
        self.session = None

    def _put_message(self, message: Message) -> None:
        role = 0 if message.role is Role.USER else 1
        place = f"m:{message.seq}:{role}"
        self._commands.append(("HSET", self._hash, place, encode(message), f"n:{message.id}", place))
        if message.idempotency_key is not None:
            self._commands.append(("HSET", self._hash, f"i:{message.idempotency_key}", place))

    def _index(self, before: Job | None, after: Job | None) -> None:
        old, new = self._keys.entries(before), self._keys.entries(after)
        for (key, member), score in new.items():
            if old.get((key, member)) != score:
                self._commands.append(("ZADD", key, score, member))
        for key, member in old.keys() - new.keys():
            self._commands.append(("ZREM", key, member))

    def _of_incarnation(self, session: Session) -> list[str]:
        """Name the keys that end with the session, and not with its name: its place, and its history if it has one."""
        return [
            self._keys.at_session(session.id, session.incarnation),
            self._keys.history(session.tenant, session.id, session.incarnation),
        ]

    def script(self) -> tuple[list[str], list[bytes | str | int]]:
        """Write the keys and arguments of the commit script."""
        listed = self._keys.sessions_of(self.tenant)
        hash_key, open_key = self._hash, self._keys.open(self.tenant, self.session_id)
        keys = [hash_key, open_key]
        arguments: list[bytes | str | int] = [self._version, "", 0]
        session = self.session
        if session is None:
            self._commands.append(("ZREM", listed, self.session_id))
            keys += self._removed
        else:
            keys += self._of_incarnation(session)
            place = keys[2]
            arguments[1] = int(self._version or 0) + 1
            arguments[2] = lifetime(session, self._default_ttl_ms)
            self._commands += [
                ("HSET", hash_key, "session", encode(session)),
                ("SET", place, f"{session.tenant}\x1f{session.id}"),
                ("ZADD", listed, session.updated, session.id),
            ]
            for job in self._written.values():
                self._commands.append(("HSET", hash_key, f"j:{job.id}", encode(job)))
                if job.state.is_open:
                    self._commands.append(("ZADD", open_key, job.seq, job.id))
                else:
                    self._commands.append(("ZREM", open_key, job.id))
                self._index(self._jobs.get(job.id), job)
        for command in self._commands:
            arguments.append(len(command))
            arguments += command
        return keys, arguments


class Snapshots:
    """Reads sessions and commits what is changed of them."""

    def __init__(self, client: redis.Redis, keys: Keys, *, clock: Clock | None, default_ttl_ms: Millis) -> None:
        self.client: Client = client
        self.keys = keys
        self._clock = clock
        self._default_ttl_ms = default_ttl_ms
        self._script = client.register_script(COMMIT)
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def now(self) -> Millis:
        """Read the server's clock."""
        if self._clock is not None:
            return self._clock()
        seconds, microseconds = self.client.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def load(self, name: Name) -> Snapshot:
        """Read a session."""
        return self.load_all({name: ()})[name]

    def load_all(self, wanted: dict[Name, Sequence[str]]) -> dict[Name, Snapshot]:
        """Read sessions, each with these jobs and its head, in two journeys; the time is read with them."""
        names = list(wanted)
        with self.client.pipeline(transaction=False) as pipeline:
            pipeline.time()
            for name in names:
                pipeline.hmget(self.keys.session(*name), ["v", "session", *(f"j:{job_id}" for job_id in wanted[name])])
                pipeline.zrange(self.keys.open(*name), 0, -1, withscores=True)
            (seconds, microseconds), *answers = pipeline.execute()
        now = self._clock() if self._clock is not None else int(seconds) * 1000 + int(microseconds) // 1000
        found = {}
        for number, name in enumerate(names):
            (version, document, *jobs), open_jobs = answers[2 * number], answers[2 * number + 1]
            snapshot = Snapshot(self.keys, self.client, name, now=now, default_ttl_ms=self._default_ttl_ms)
            snapshot.take(session_of(document) if document else None, version or b"", open_jobs)
            for job_id, job in zip(wanted[name], jobs, strict=True):
                snapshot.take_job(job_id, job)
            found[name] = snapshot
        self._load_heads(list(found.values()), wanted)
        return found

    def _load_heads(self, snapshots: list[Snapshot], wanted: dict[Name, Sequence[str]]) -> None:
        """Read the first open jobs of each session that are not there yet: its head, and who is next if that ends."""
        missing = []
        for snapshot in snapshots:
            known = wanted[snapshot.tenant, snapshot.session_id]
            first = sorted(snapshot.open, key=snapshot.open.__getitem__)[:2]
            missing += [(snapshot, job_id) for job_id in first if job_id not in known]
        if not missing:
            return
        with self.client.pipeline(transaction=False) as pipeline:
            for snapshot, job_id in missing:
                pipeline.hget(self.keys.session(snapshot.tenant, snapshot.session_id), f"j:{job_id}")
            for (snapshot, job_id), document in zip(missing, pipeline.execute(), strict=True):
                snapshot.take_job(job_id, document)

    def commit(self, snapshots: Sequence[Snapshot]) -> list[bool]:
        """Write each of these, or nothing of it if somebody changed its session meanwhile. Tells which were written."""
        if not snapshots:
            return []
        with self.client.pipeline(transaction=False) as pipeline:
            for snapshot in snapshots:
                keys, arguments = snapshot.script()
                self._script(keys=keys, args=arguments, client=pipeline)
            return [bool(written) for written in pipeline.execute()]

    def change(self, name: Name, work: Callable[[Snapshot], T]) -> T:
        """Change one session: `work` decides over a snapshot, and again over a new one if somebody was faster.

        Raises:
            StoreUnavailable: others were faster every time.
        """
        # Threads of one process take turns; only other processes can then be faster.
        with self._locks[hash(name) % LOCKS]:
            for attempt in range(MOST_TRIES):
                snapshot = self.load(name)
                result = work(snapshot)
                if not snapshot.is_changed or self.commit([snapshot])[0]:
                    return result
                time.sleep(random.uniform(0, 0.001 * min(attempt + 1, 20)))
        message = "the session is being changed by too many at once"
        raise StoreUnavailable(message)
