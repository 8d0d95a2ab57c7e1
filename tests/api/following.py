"""Clients of event streams, and a whole promptq in one process for them to watch: API, engine, a real Valkey."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2

from domain.configuration import Configuration
from domain.settings import Settings
from executors.registry import Executors
from storage.notices import Notices
from tasks.engine.engine import Engine
from tasks.engine.telling import Teller
from tests.api.conftest import Served, a_prompt, serving
from tests.support.waiting import eventually
from tests.tasks.scripted import Script, Scripted

Event = dict[str, Any]


@dataclass
class Follower:
    """Reads a stream in a thread of its own until it is closed, or the server ends it."""

    port: int
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    #: What `Last-Event-ID` would say after each of them.
    names: list[str] = field(default_factory=list)
    status: int = 0
    ended: bool = False

    def start(self) -> "Follower":
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self._connection.connect()
        #: Kept, because the connection lets go of it when the answer has begun.
        self._socket = self._connection.sock
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        eventually(lambda: self.events or self.ended, what="the stream begins")
        return self

    def _read(self) -> None:
        name = ""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            self._connection.request("GET", self.path, headers=self.headers)
            answer = self._connection.getresponse()
            self.status = answer.status
            for line in iter(answer.readline, b""):
                text = line.decode().rstrip("\n")
                if text.startswith("id: "):
                    name = text[4:]
                elif text.startswith("data: "):
                    self.names.append(name)
                    self.events.append(json.loads(text[6:]))
        self.ended = True

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._connection.close()

    @property
    def types(self) -> list[str]:
        return [str(event.get("type") or event["payload"]["type"]) for event in self.events]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The properties of all events of a type."""
        return [event["properties"] for event in self.events if event["type"] == kind]

    def parts(self) -> dict[str, dict[str, Any]]:
        """All parts of messages, by ID, as they were told last."""
        return parts_of(self.events)

    def has(self, count: int) -> None:
        """Wait until so many events have come."""
        eventually(lambda: len(self.events) >= count, what=f"{count} events in {self.types}")

    def ends_with(self, kind: str, *, after: str) -> None:
        """Wait until the last event is of a type, and one of another type has come before it."""
        eventually(lambda: after in self.types and self.types[-1] == kind, what=f"{kind} after {after} in {self.types}")

    def sees(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many events of a type have come; return their properties."""
        eventually(lambda: len(self.of(kind)) >= count, what=f"{count} {kind} in {self.types}")
        return self.of(kind)


def parts_of(events: Sequence[Event]) -> dict[str, dict[str, Any]]:
    """Put together the parts that events tell of, by ID."""
    found: dict[str, dict[str, Any]] = {}
    for event in list(events):
        properties = event["properties"]
        if event["type"] == "message.part.updated":
            found[properties["part"]["id"]] = properties["part"]
        elif event["type"] == "message.part.delta":
            part = found[properties["partID"]]
            found[part["id"]] = {**part, "text": part["text"] + properties["delta"]}
    return found


def assembled(events: Sequence[Event]) -> list[dict[str, Any]]:
    """Put together the messages that events tell of, as `GET …/message` has them."""
    messages: dict[str, dict[str, Any]] = {}
    for event in list(events):
        if event["type"] == "message.updated":
            info = event["properties"]["info"]
            messages[info["id"]] = info
        elif event["type"] == "message.removed":
            messages.pop(event["properties"]["messageID"], None)
    parts = list(parts_of(events).values())
    return [
        {"info": info, "parts": [part for part in parts if part["messageID"] == message_id]}
        for message_id, info in messages.items()
    ]


class House:
    """A whole promptq in one process."""

    def __init__(self, served: Served, settings: Settings) -> None:
        self.served = served
        self.store = served.store
        self.settings = settings
        self.url = f"http://127.0.0.1:{served.port}"
        self.client = httpx2.Client(base_url=self.url, timeout=30)
        self.scripts: dict[str, Script] = {}
        self.notices = Notices(settings.redis, settings.redis_prefix)
        self.running = contextlib.ExitStack()
        self.engines: list[Engine] = []

    def engine(self, **given: Any) -> Engine:
        """Start an engine, with these settings of its own, that answers with scripts, or with the prompt's text."""
        settings = self.settings.model_copy(update=given)
        teller = Teller(self.store, self.notices)
        executors = Executors(settings, {"echo": lambda _: Scripted(self.scripts)})
        engine = Engine(self.store, executors, settings, audiences={"notices": teller.tell}, teller=teller)
        self.running.callback(engine.stop)
        engine.start()
        self.engines.append(engine)
        return engine

    def follow(self, path: str = "/event", **headers: str) -> Follower:
        """Open a stream; it has begun when this returns."""
        follower = Follower(self.served.port, path, headers)
        self.running.callback(follower.close)
        return follower.start()

    def prompt(
        self, text: str = "hi", session_id: str = "ses_a", *, headers: dict[str, str] | None = None, **fields: Any
    ) -> httpx2.Response:
        """Post a prompt; it must be kept."""
        body = a_prompt(text, **fields)
        answer = self.client.post(f"/session/{session_id}/prompt_async", json=body, headers=headers)
        assert answer.status_code == 204, answer.text
        self.look()
        return answer

    def messages(self, session_id: str = "ses_a") -> list[dict[str, Any]]:
        """The messages that are kept of a session."""
        found: list[dict[str, Any]] = self.client.get(f"/session/{session_id}/message").json()
        return found

    def look(self) -> None:
        """Have the engines look for work, as a bell would."""
        for engine in self.engines:
            engine.look()


@contextlib.contextmanager
def a_house(redis_url: str | None, *, configuration: Configuration | None = None, **given: Any) -> Iterator[House]:
    """Run one for the length of a block."""
    settings = Settings.model_validate({"redis_url": redis_url, **given})
    with serving(redis_url=redis_url, configuration=configuration, **given) as served:
        house = House(served, settings)
        with house.running:
            yield house
        house.notices.close()
        house.client.close()
