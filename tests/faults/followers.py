"""Callers who follow their session's stream of events, are cut off at random, and come back for what they missed."""

import contextlib
import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from domain.clock import system_clock
from tests.api.following import assembled
from tests.crash.executor import text_of
from tests.faults.caller import Caller, Load
from tests.support.history import Assembled, Fault

#: Prompts of one session that is followed.
PROMPTS = 6

#: How long the stream may hide the end of the last of them, after the load is over.
PATIENCE_S = 45.0

#: Seconds without anything, heartbeats included, after which the connection is held for dead.
SILENCE_S = 12.0

Event = dict[str, Any]


def followers(load: Load, name: str) -> None:
    """Submit prompts to one session after another, and put their answers together from its stream."""
    caller = Caller(load, name)
    number = 0
    while not caller.is_enough:
        session = f"ses_{load.round}_{name}x{number}"
        while (made := caller.connection.request("POST", "/session", {"id": session})) is None or made.status != 200:
            load.enough.wait(0.2)
        stream = Stream(caller, session)
        reader = threading.Thread(target=stream.follow)
        reader.start()
        # A stream tells what happens from then on that its place in the session has a name to come back with.
        stream.has_place.wait()
        for place in range(PROMPTS):
            caller.until_kept(caller.asked(session, place, waits=False))
        stream.all_submitted.set()
        reader.join()
        number += 1


def _is_idle(event: Event) -> bool:
    return bool(event["type"] == "session.status" and event["properties"]["status"]["type"] == "idle")


class Stream:
    """One session's stream, over as many connections as it takes."""

    def __init__(self, caller: Caller, session: str) -> None:
        self._caller = caller
        self._session = session
        self._port = urlsplit(caller.load.url).port or 80
        self._events: list[Event] = []
        self._last = ""
        self._give_up_at = 0.0
        #: Each connection: when it was asked for, the status, and how many events had come at its end.
        self._visits: list[tuple[int, int, int]] = []
        self.has_place = threading.Event()
        self.all_submitted = threading.Event()

    def follow(self) -> None:
        """Read until every prompt has been told to have ended, and write down what came of it."""
        while not self._is_over:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._connect()
            threading.Event().wait(self._caller.chance.uniform(0, 0.3))
        if not self._is_whole():
            self._complain("a stream did not tell of the end of all prompts")
        for message in self._ended():
            text = text_of(message["parts"])
            found = Assembled(self._caller.name, self._session, message["info"]["id"], text)
            self._caller.load.records.write(found)

    def _connect(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=SILENCE_S)
        try:
            headers = {"Last-Event-ID": self._last} if self._last else {}
            connection.request("GET", f"/session/{self._session}/event", headers=headers)
            sent = system_clock()
            answer = connection.getresponse()
            self._visits.append((sent, answer.status, len(self._events)))
            if answer.status == 200:
                self._read(answer, self._caller.chance.choice((3, 10, 30, 1_000)))
        finally:
            connection.close()

    def _read(self, answer: http.client.HTTPResponse, most: int) -> None:
        """Read so many events, in frames that have come whole."""
        name, content = "", b""
        for line in iter(answer.readline, b""):
            if line.startswith(b"id: "):
                name = line[4:].decode().strip()
            elif line.startswith(b"data: "):
                content = line[6:]
            elif not line.strip() and content:
                self._events.append(json.loads(content))
                if name:
                    self._last = name
                    self.has_place.set()
                name, content, most = "", b"", most - 1
                if self._caller.chance.random() < 0.002:
                    threading.Event().wait(3)  # stalled
                if most <= 0 or self._is_over:
                    return

    @property
    def _is_over(self) -> bool:
        """Whether it has told all that there is to tell, or for so long not that it is given up."""
        if not self.all_submitted.is_set():
            return False
        if self._caller.is_enough:
            self._give_up_at = self._give_up_at or time.monotonic() + PATIENCE_S
            if time.monotonic() > self._give_up_at:
                return True
        return self._is_whole()

    def _is_whole(self) -> bool:
        """Whether every prompt has been told to have ended, and after that the session to be idle."""
        messages = (place for place, event in enumerate(self._events) if event["type"].startswith("message."))
        since = self._events[max(messages, default=0) :]
        return any(map(_is_idle, since)) and len(self._ended()) >= PROMPTS

    def _ended(self) -> list[Event]:
        try:
            told = assembled(self._events)
        except KeyError as error:
            self._complain(f"a stream told more of {error} than it had told of before")
            self._events.clear()
            return []
        return [message for message in told if "completed" in message["info"].get("time", {})]

    def _complain(self, what: str) -> None:
        now = system_clock()
        found = [message["info"]["id"] for message in self._ended()] if "more of" not in what else []
        latest = [event["type"] for event in self._events[-8:]]
        what = f"{what}: {self._session}, {len(found)} of {PROMPTS}, last {self._last}, {latest}, {self._visits[-8:]}"
        self._caller.load.records.write(Fault("a stream that was cut", now, now, complaint=what, row="I7"))
