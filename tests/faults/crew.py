"""Keeps the fleet at strength, as a supervisor does: what has ended is started again, at once."""

import random
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import httpx2

from cli import roles
from tests.crash import failpoints
from tests.crash.fleet import Fleet, Member
from tests.faults.ground import Ground, Host, free_port
from tests.support.waiting import eventually

LOOK_S = 0.05

#: How long one that was asked to end may take: grace, and then some.
END_S = 25.0


#: How a process ends that was killed, or asked to end (uvicorn passes the signal on when all is done).
ORDERLY = frozenset({0, -signal.SIGKILL, -signal.SIGTERM})

#: How a worker ends that cannot go on, for its supervisor to start another.
GAVE_UP = 1


@dataclass
class Post:
    """A place in the fleet that is always filled."""

    role: str
    number: int
    host: Host
    member: Member | None = None
    #: How often it has been filled.
    filled: int = 0
    #: What the next one is armed with, and which variables it gets.
    armed: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    #: Whether it is being left empty.
    is_vacant: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)


class Crew:
    """The posts of a fleet, tended by a thread of its own. A context manager."""

    def __init__(self, fleet: Fleet, ground: Ground, *, workers: int, chance: random.Random) -> None:
        self.fleet = fleet
        self._ground = ground
        self._chance = chance
        first, second = ground.hosts
        self.api = Post("api", 0, first)
        #: The last one is on a host of its own.
        self.flower = Post("flower", 0, first)
        self.flower_port = free_port()
        self.workers = [Post("worker", number, first if number < workers - 1 else second) for number in range(workers)]
        #: Ends that no fault explains, and how many found themselves that they could not go on.
        self.odd_ends: list[str] = []
        self.gave_up = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._tend, daemon=True)

    @property
    def posts(self) -> list[Post]:
        """What is promptq's own: without Flower, which only looks on."""
        return [self.api, *self.workers]

    def any_worker(self) -> Post:
        return self._chance.choice(self.workers)

    def __enter__(self) -> Self:
        for post in (*self.posts, self.flower):
            self._fill(post)
        eventually(self.answers, 60, what="the API answers")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def answers(self) -> bool:
        """Whether the API does."""
        try:
            return httpx2.get(f"{self.fleet.url}/healthz", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False

    def kill(self, post: Post, armed: str = "", **environment: str) -> None:
        """SIGKILL; whoever follows is armed, and has these variables."""
        with post.lock:
            post.armed, post.environment = armed, environment
            if post.member is not None:
                post.member.kill()

    def retire(self, post: Post) -> float:
        """SIGTERM, and wait for the end; returns the exit code, or says that there was none in time."""
        with post.lock:
            post.is_vacant = True
            member = post.member
        try:
            assert member is not None
            member.command.process.terminate()
            return member.command.ends(END_S)
        finally:
            post.is_vacant = False

    def relieve_all(self) -> None:
        """Have every member go on that stands still."""
        for post in self.posts:
            if post.member is not None and post.member.is_alive:
                post.member.thaw()

    def _tend(self) -> None:
        while not self._ending.wait(LOOK_S):
            for post in (*self.posts, self.flower):
                with post.lock:
                    if not post.is_vacant and (post.member is None or not post.member.is_alive):
                        self._fill(post)

    def _fill(self, post: Post) -> None:
        if post.member is not None and post is not self.flower:
            self._look_at_end(post.member)
        settings = self._ground.settings_on(post.host)
        if post is self.flower:
            seen = {"FLOWER_UNAUTHENTICATED_API": "true"}
            port = {"flower_port": str(self.flower_port)}
            post.member = self.fleet.start(roles.flower, "flower", settings={**settings, **port}, environment=seen)
        elif post is self.api:
            post.member = self.fleet.start(
                roles.api, "api", post.armed, settings=settings, environment=post.environment
            )
        else:
            # Half of them under the name of who was there before: those take up at once what it held.
            name = f"worker{post.number}" if self._chance.random() < 0.5 else f"worker{post.number}x{post.filled}"
            post.member = self.fleet.start(
                lambda given, base: roles.worker(given, base, name=name),
                name,
                post.armed,
                settings=settings,
                environment=post.environment,
            )
        post.filled += 1
        post.armed, post.environment = "", {}

    def _look_at_end(self, member: Member) -> None:
        code = member.command.process.returncode
        if code == GAVE_UP:
            self.gave_up += 1
        elif code not in ORDERLY:
            self.odd_ends.append(f"{member.name} with {code}: {member.command.output[-500:]}")


def arm(chance: random.Random, role: str, database: str) -> str:
    """Pick a failpoint of a role, and the time at which it is fatal."""
    points = (failpoints.API if role == "api" else failpoints.WORKER)[database]
    return f"{chance.choice(points)}=kill@{chance.randint(1, 5)}"
