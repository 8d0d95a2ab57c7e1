"""What every caller does: it tries until its prompt is kept, and writes down all that it was told."""

import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

from domain.clock import system_clock
from tests.crash.executor import text_of
from tests.faults.connection import Connection
from tests.faults.prompts import Asked, Kind, asked
from tests.support.history import Submission
from tests.support.history_files import Records

#: Pause before a prompt is tried again, at most.
PAUSE_S = 0.3


@dataclass
class Load:
    """What the callers of one process share."""

    url: str
    #: Names the round in the names of sessions.
    round: str
    seed: int
    number: int
    directory: Path
    #: What the content of ephemeral sessions is told by.
    marker: str
    deadly: float
    #: Prompts a second of one caller that does not wait, about.
    rate: float
    #: How many charged attempts a good prompt may have.
    good_limit: int
    enough: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.records = Records(self.directory / self.round / f"clients-{self.number}.jsonl")


class Caller:
    """One thread's worth of calling."""

    def __init__(self, load: Load, name: str) -> None:
        self.load = load
        self.name = name
        self.chance = random.Random(f"{load.seed} {load.round} {name}")
        self.connection = Connection(load.url)

    @property
    def is_enough(self) -> bool:
        return self.load.enough.is_set()

    def asked(self, session: str, number: int, **more: object) -> Asked:
        """The prompt with this number of a session, as this load has them."""
        return asked(session, number, self.load.seed, deadly=self.load.deadly, good_limit=self.load.good_limit, **more)

    def rest(self) -> None:
        """Pause between two prompts."""
        self.load.enough.wait(self.chance.uniform(0, 2 / self.load.rate))

    def until_kept(self, wanted: Asked) -> Submission:
        """Submit a prompt until it is kept; a caller may be ended before it is."""
        self.load.records.write(wanted.wish())
        while True:
            done = self.submit(wanted)
            self.load.records.write(done)
            if done.is_kept:
                if wanted.kind is Kind.FICKLE:
                    self.cancel(done)
                return done
            threading.Event().wait(self.chance.uniform(0, PAUSE_S))

    def submit(self, wanted: Asked) -> Submission:
        """Submit a prompt once."""
        path, body, headers = wanted.request()
        sent = system_clock()
        answer = self.connection.request("POST", path, body, headers)
        ended = system_clock()
        if answer is None:
            return Submission(self.name, wanted.session, wanted.key, sent, ended, None, waited=wanted.waits)
        text = text_of(answer.json()["parts"]) if wanted.waits and answer.status == 200 else None
        return Submission(
            self.name,
            wanted.session,
            wanted.key,
            sent,
            ended,
            answer.status,
            answer.headers.get("location", "").removeprefix("/job/") or None,
            text,
            waited=wanted.waits,
            retry_after="retry-after" in answer.headers,
        )

    def cancel(self, done: Submission) -> None:
        """Ask for a job's end, once and for what it is worth."""
        self.load.enough.wait(self.chance.uniform(0, 0.2))
        self.connection.request("POST", f"/job/{done.job}/cancel")
