"""A run on one database: a fleet that stays up, and rounds of load and faults, each judged by itself."""

import contextlib
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

import httpx2

from domain.clock import millis, system_clock
from tests.crash.executor import register
from tests.crash.fleet import Fleet
from tests.faults import privacy
from tests.faults.crew import Crew
from tests.faults.deeds.deed import Scene
from tests.faults.figures import Figures
from tests.faults.ground import Ground, free_port, here
from tests.faults.plan import LANES, Plan
from tests.faults.watching import Watch
from tests.support.checker import Violation, violations
from tests.support.commands import Command
from tests.support.history import Fault, History
from tests.support.history_files import Records, read
from tests.support.keepers import migrated

#: What a prompt may take from the last fault on, beside lease and ten seconds: those ahead of it, back-off, pauses.
AHEAD_S = 25.0

#: How long clients may take to get their last prompts through, after that.
CLIENTS_S = 60.0

#: Violations of one invariant that are told with their evidence; they are counted all.
MOST_TOLD = 5

Say = Callable[[str], None]


class Storm:
    """A fleet on its ground. A context manager."""

    def __init__(self, directory: Path, database: str, seed: int, plan: Plan, say: Say) -> None:
        """Start it in an empty directory; the plan is of its first round, and says how large the fleet is."""
        self.directory = directory
        self._say = say
        self._seed = seed
        self.chance = random.Random(f"{seed} {database}")
        self.marker = f"marked{seed}x{self.chance.getrandbits(64):016x}"
        self.figures = Figures(database, seed)
        self._size = plan
        self._open = contextlib.ExitStack()
        self._ground = Ground(directory, database)
        self._crew: Crew | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            ground = opening.enter_context(self._ground)
            migrated(ground.url)
            place = "tests.faults.executor:FaultyExecutor"
            fleet = opening.enter_context(
                Fleet(
                    self.directory,
                    database=ground.url,
                    redis=ground.valkey.url,
                    model=ground.model,
                    port=free_port(),
                    installed=register(self.directory / "installed", "faulty", place),
                    settings={
                        "model": "faulty/model",
                        "concurrency": "12",
                        "lease": str(self._size.lease_s),
                        "grace": "8",
                    },
                )
            )
            install_clock(self.directory / "installed")
            self._crew = opening.enter_context(Crew(fleet, ground, workers=self._size.workers, chance=self.chance))
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def crew(self) -> Crew:
        assert self._crew is not None
        return self._crew

    def run(self, plans: Iterable[Plan], *, until_broken: bool = False) -> Figures:
        """Go through rounds, and judge each; perhaps only until one is broken."""
        began = time.monotonic()
        for number, plan in enumerate(plans):
            history = self._round(f"r{number:03}", plan)
            found = violations(history)
            self.figures.add(history, found)
            self._say(
                f"  round {number}: {len(history.jobs)} prompts, {len(history.faults)} faults, {len(found)} violations"
            )
            told: Counter[str] = Counter()
            for violation in found:
                told[violation.invariant] += 1
                if told[violation.invariant] <= MOST_TOLD:
                    self._say(f"  {violation}")
            if found and until_broken:
                break
            if not found:
                shutil.rmtree(self.directory / f"r{number:03}")
        behind = self._left_behind()
        for violation in behind:
            self._say(f"  {violation}")
        self.figures.violations += behind
        self.figures.gave_up = self.crew.gave_up
        self.figures.seconds = time.monotonic() - began
        self.figures.fenced = self.crew.fleet.said("end_fenced")
        self.figures.deaths = sum(post.filled - 1 for post in self.crew.posts)
        if self._ground.postgres is not None:
            self.figures.deadlocks = self._ground.postgres.deadlocks()
        return self.figures

    def _round(self, name: str, plan: Plan) -> History:
        directory = self.directory / name
        scene = Scene(self._ground, self.crew, self.chance, plan.lease_s)
        records = Records(directory / "faults.jsonl")
        complaints: list[Fault] = []
        with (
            Watch(self._ground.url, name, directory) as watch,
            privacy.RedisWatch(self._ground.valkey.socket, self.marker, records),
        ):
            clients = [self._client(name, number, plan) for number in range(plan.clients)]
            self._do(scene, plan, records)
            last_fault = system_clock()
            complaints = self._end_clients(clients)
            if not watch.until_all_have_ended(plan.lease_s + 10 + AHEAD_S):
                # Too late already; but what is read while it still changes would look worse than it is.
                watch.until_all_have_ended(CLIENTS_S)
            watch.read()
        records.write(*complaints, *self._traces())
        records.close()
        return read(
            directory,
            last_fault=last_fault,
            within_ms=millis(plan.lease_s + 10 + AHEAD_S),
            is_gentle=plan.is_gentle,
            note=f"--seed {self._seed}",
        )

    def _do(self, scene: Scene, plan: Plan, records: Records) -> None:
        """Do all that is planned, in its lanes; then let all that stands still go on."""
        failed: list[BaseException] = []

        def lane(name: str) -> None:
            chance = random.Random(self.chance.getrandbits(64))
            try:
                for deed in plan.lane(name, chance):
                    if scene.enough.wait(scene.chance.uniform(0.2, 1.5)):
                        return
                    records.write(deed.on(scene))
            except BaseException as error:  # noqa: BLE001 - told by the thread that waits
                failed.append(error)

        lanes = [threading.Thread(target=lane, args=(name,)) for name in LANES]
        for thread in lanes:
            thread.start()
        over = time.monotonic() + plan.seconds
        for thread in lanes:
            thread.join(max(0.0, over - time.monotonic()))
        if not plan.once:
            scene.enough.wait(max(0.0, over - time.monotonic()))
        scene.enough.set()
        for thread in lanes:
            thread.join()
        scene.crew.relieve_all()
        if failed:
            raise failed[0]

    def _client(self, name: str, number: int, plan: Plan) -> Command:
        arguments = {
            "url": self.crew.fleet.url,
            "round": name,
            "seed": self._seed,
            "number": number,
            "directory": self.directory,
            "marker": self.marker,
            "deadly": plan.deadly,
            "rate": plan.rate,
            "good_limit": plan.good_limit,
        }
        words = [f"--{key}={value}" for key, value in arguments.items()]
        output = self.directory / name / f"clients-{number}.log"
        output.parent.mkdir(exist_ok=True)
        return Command("-m", "tests.faults.client", *words, output=output, environment=here())

    def _end_clients(self, clients: list[Command]) -> list[Fault]:
        """Have the clients end; say which of them did not get through, or broke."""
        complaints = []
        for client in clients:
            client.send(signal.SIGTERM)
        until = time.monotonic() + CLIENTS_S
        for client in clients:
            now = system_clock()
            try:
                code = client.ends(max(1.0, until - time.monotonic()))
                what = f"a client ended with {code}: {client.output[-800:]}" if code else ""
            except Exception:  # noqa: BLE001 - whatever it is, it has not ended
                what = "a client is still trying"
                client.process.kill()
                client.process.wait()
            if what:
                complaints.append(Fault("the end of the load", now, system_clock(), complaint=what, row="I1"))
        return complaints

    def _traces(self) -> Iterator[object]:
        """I8: the marker in the database's files and in what processes have printed."""
        paths = list(self.directory.glob("*.log"))
        if self._ground.postgres is not None:
            paths.append(self._ground.postgres.files)
        else:
            paths += self.directory.glob("promptq.db*")
        data = self.directory / "data"
        yield from privacy.in_files([*paths, *([data] if data.exists() else [])], self.marker)
        try:
            yield from privacy.in_flower(self.crew.flower_port, self.marker)
            self.figures.flower += 1
        except httpx2.HTTPError:
            return  # a Redis that was killed took it along, and it is only just back

    def _left_behind(self) -> list[Violation]:
        """I8: what is in Redis when everything ephemeral should have gone. Odd ends of processes, too."""
        with privacy.RedisWatch(
            self._ground.valkey.socket, self.marker, Records(self.directory / "end.jsonl")
        ) as watch:
            give_up_at = time.monotonic() + 20
            while (left := list(watch.everything())) and time.monotonic() < give_up_at:
                time.sleep(0.5)
        found = [Violation("I8", f"content of an ephemeral session stays in {trace.place}") for trace in left]
        if not self.figures.flower:
            found.append(Violation("I8", "Flower could not be looked into after any round"))
        return [*found, *(Violation("row 4", f"a process ended by itself: {end}") for end in self.crew.odd_ends)]


def install_clock(directory: Path) -> None:
    """Have processes with FAULTS_CLOCK_OFF_MS in their environment believe in another time."""
    (directory / "sitecustomize.py").write_text(
        """import os, time
off = int(os.environ.get("FAULTS_CLOCK_OFF_MS", "0"))
if off:
    true_time, true_ns = time.time, time.time_ns
    time.time = lambda: true_time() + off / 1000
    time.time_ns = lambda: true_ns() + off * 1_000_000
"""
    )
