"""I8: looks for the marker of ephemeral content in all places where it must not be."""

import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
import redis

from tests.support.history import Trace
from tests.support.history_files import Records

#: Between two looks through Redis.
PAUSE_S = 0.5

#: Returns all keys without an expiry, with all that is in them, at one moment.
_LASTING = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  if redis.call('PTTL', key) == -1 then
    local kind = redis.call('TYPE', key)['ok']
    local content = {}
    if kind == 'string' then content = {redis.call('GET', key)}
    elseif kind == 'list' then content = redis.call('LRANGE', key, 0, -1)
    elseif kind == 'set' then content = redis.call('SMEMBERS', key)
    elseif kind == 'hash' then content = redis.call('HGETALL', key)
    elseif kind == 'zset' then content = redis.call('ZRANGE', key, 0, -1)
    end
    table.insert(found, {key, kind, content})
  end
end
return found
"""

_CONTEXT = 60


class RedisWatch:
    """Looks, while a run goes on, at what has no expiry and at what is published. A context manager."""

    def __init__(self, socket: Path, marker: str, records: Records) -> None:
        self._socket = str(socket)
        self._marker = marker.encode()
        self._records = records
        self._enough = threading.Event()
        self.looks = 0
        self._threads = [
            threading.Thread(target=self._keep, args=(self._look,), daemon=True),
            threading.Thread(target=self._keep, args=(self._listen,), daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def everything(self) -> Iterator[Trace]:
        """Look through all that is in Redis: when everything ephemeral should be gone."""
        with redis.Redis(unix_socket_path=self._socket) as client:
            for key in client.scan_iter(count=1000):
                yield from traces((client.dump(key) or b"",), self._marker, f"Redis, in {key!r}")

    def _keep(self, look: Any) -> None:
        while not self._enough.wait(PAUSE_S):
            try:
                look()
            except redis.RedisError:
                continue  # it is being killed, or stands still

    def _look(self) -> None:
        with redis.Redis(unix_socket_path=self._socket, socket_timeout=30) as client:
            self.looks += 1
            for key, kind, content in client.eval(_LASTING, 0):
                place = f"Redis, in {key.decode()} ({kind.decode()}), which has no expiry"
                self._records.write(*traces(content, self._marker, place))

    def _listen(self) -> None:
        """Messages of the broker are published too, for Flower: on channels that are none of promptq's own."""
        with redis.Redis(unix_socket_path=self._socket) as client, client.pubsub() as channels:
            channels.psubscribe("*")
            while not self._enough.is_set():
                message = channels.get_message(timeout=PAUSE_S)
                if message is not None and message["type"] == "pmessage" and b":events:" not in message["channel"]:
                    place = f"a message on {message['channel'].decode()}"
                    self._records.write(*traces((message["data"],), self._marker, place))


def traces(contents: Iterable[bytes], marker: bytes, place: str) -> list[Trace]:
    """Where the marker is in some contents."""
    found = []
    for content in contents:
        at = content.find(marker)
        if at >= 0:
            excerpt = content[max(0, at - _CONTEXT) : at + len(marker)].decode(errors="replace")
            found.append(Trace(place, excerpt))
    return found


def in_flower(port: int, marker: str) -> Iterator[Trace]:
    """Where the marker is in what Flower shows of its tasks.

    Raises:
        httpx2.HTTPError: Flower does not answer.
    """
    answer = httpx2.get(f"http://127.0.0.1:{port}/api/tasks", params={"limit": 100_000}, timeout=30)
    answer.raise_for_status()
    yield from traces((answer.content,), marker.encode(), "Flower's tasks")


def in_files(paths: Iterable[Path], marker: str) -> Iterator[Trace]:
    """Where the marker is in files, and in those of directories; some go while they are looked at."""
    pattern = re.compile(re.escape(marker.encode()))
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            try:
                content = file.read_bytes() if file.is_file() else b""
            except OSError:
                continue
            match = pattern.search(content)
            if match:
                yield from traces((content,), marker.encode(), str(file))
