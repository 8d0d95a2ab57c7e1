"""Callers who lose their connections and try again: several to a session, with the same prompts under the same keys."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx2

from domain.clock import system_clock
from tests.crash.executor import text_of
from tests.support.history import Submission

#: How long one request may take.
TIMEOUT_S = 30.0

#: Pause before a prompt is tried again.
PAUSE_S = 0.05


#: More than a worker has slots: one worker alone is always busy.
SESSIONS = 4


@dataclass(frozen=True)
class Ask:
    """A prompt to be submitted, the same by whomever."""

    session: str
    number: int
    key: str
    by_message_id: bool
    #: Whether the client waits for the answer before it goes on.
    waits: bool

    @property
    def text(self) -> str:
        return f"{self.session} says {self.number}"

    def request(self) -> tuple[str, dict[str, object], dict[str, str]]:
        """Its path, body and headers."""
        body: dict[str, object] = {"parts": [{"type": "text", "text": self.text}], "maxAttempts": 50}
        path = f"/session/{self.session}/{'message' if self.waits else 'prompt_async'}"
        if self.by_message_id:
            return path, {**body, "messageID": self.key}, {}
        return path, body, {"Idempotency-Key": self.key}


def ask(session: str, number: int, seed: int) -> Ask:
    """The prompt with this number of a session: most are thrown in, every third or so is waited for."""
    chance = random.Random(f"{seed} {session} {number}")
    by_message_id = chance.random() < 0.5
    key = f"msg_{session}_{number}" if by_message_id else f"key of {session} {number}"
    return Ask(session, number, key, by_message_id, waits=chance.random() < 0.35)


class Clients:
    """Threads that submit prompts until they are told that it is enough. Each then gets its last one through."""

    def __init__(self, url: str, *, seed: int, sessions: int = SESSIONS, each: int = 2) -> None:
        self.submissions: list[Submission] = []
        self._url = url
        self._seed = seed
        self._lock = threading.Lock()
        self._enough = threading.Event()
        self._give_up = threading.Event()
        names = [(f"ses_{seed}_{session}", rival) for session in range(sessions) for rival in range(each)]
        self._started: list[threading.Thread] = []
        self._threads = [
            threading.Thread(target=self._run, args=(session, f"{session}/{rival}"), daemon=True)
            for session, rival in names
        ]

    def start(self) -> None:
        self._started = self._threads
        for thread in self._started:
            thread.start()

    def enough(self, timeout: float) -> None:
        """Have each client get its prompt through, and end; wait for that for `timeout` seconds at most."""
        self._enough.set()
        give_up_at = time.monotonic() + timeout
        for thread in self._started:
            thread.join(max(0.0, give_up_at - time.monotonic()))

    def assert_content(self) -> None:
        """Fail if a client did not get through, or was told anything but that it is kept, or to try again."""
        assert not any(thread.is_alive() for thread in self._started), "clients are still trying"
        odd = [each for each in self.submissions if not each.is_kept and each.status not in {None, 503}]
        assert not odd, odd

    def give_up(self) -> None:
        """Have them end whether or not their prompts are kept."""
        self._enough.set()
        self._give_up.set()

    def refused(self) -> Sequence[Submission]:
        """Requests that were not answered 2xx."""
        return [each for each in self.submissions if not each.is_kept]

    def _run(self, session: str, client: str) -> None:
        number = 0
        with httpx2.Client(base_url=self._url, timeout=TIMEOUT_S) as connection:
            while not self._enough.is_set():
                self._submit(connection, client, ask(session, number, self._seed))
                number += 1

    def _submit(self, connection: httpx2.Client, client: str, wanted: Ask) -> None:
        """Submit a prompt until it is kept."""
        while not self._give_up.is_set():
            done = submit(connection, client, wanted)
            with self._lock:
                self.submissions.append(done)
            if done.is_kept:
                return
            self._give_up.wait(PAUSE_S)


def submit(connection: httpx2.Client, client: str, wanted: Ask) -> Submission:
    """Submit a prompt once."""
    path, body, headers = wanted.request()
    sent = system_clock()
    try:
        answer = connection.post(path, json=body, headers=headers)
    except httpx2.TransportError:
        return Submission(client, wanted.session, wanted.key, sent, system_clock(), None, waited=wanted.waits)
    text = text_of(answer.json()["parts"]) if wanted.waits and answer.status_code == 200 else None
    job = answer.headers.get("location", "").removeprefix("/job/") or None
    return Submission(
        client,
        wanted.session,
        wanted.key,
        sent,
        system_clock(),
        answer.status_code,
        job,
        text,
        waited=wanted.waits,
        retry_after="retry-after" in answer.headers,
    )
