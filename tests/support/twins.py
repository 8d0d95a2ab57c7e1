"""Two stores that live through the same commands: the plain model, and the keeper that is compared with it.

IDs are chance, so they are compared by the order in which they turn up: the first job ID that one store tells stands
for the first that the other tells.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from domain.errors import PromptqError
from domain.jobs import Job, State
from domain.record import Record
from domain.sessions import Session
from storage.base import Exchange, JobQuery, Reconciled, SessionQuery, Store
from tests.support.memory_store import MemoryStore

T = TypeVar("T")

MADE = re.compile(r"(job|msg|prt)_[0-9a-f]{12}[0-9A-Za-z]{14}")
"""IDs that a store makes. Tests choose theirs otherwise."""

EVERYTHING = 10_000


@dataclass
class Twin:
    """One of the two, with the names of what it made."""

    store: Store
    #: The jobs that were admitted, as they were then. A test names a job by its place in this list.
    jobs: list[Job] = field(default_factory=list)
    #: The attempts that were claimed, as they were then.
    attempts: list[Job] = field(default_factory=list)
    _names: dict[str | int, str] = field(default_factory=dict)

    def plain(self, value: object, *, ranks: bool = False) -> Any:
        """Turn a value into plain data, with the names of its IDs."""
        match value:
            case Record():
                fields = dict(value.__dict__)
                if "incarnation" in fields:
                    fields["incarnation"] = self._name(fields["incarnation"], "incarnation")
                if isinstance(value, Job) and not (ranks and _is_ranked(value)):
                    del fields["rank"]
                return {name: self.plain(each, ranks=ranks) for name, each in fields.items()}
            case PromptqError():
                return type(value).__name__, getattr(value, "fields", None), getattr(value, "field", None)
            case Mapping():
                return {self.plain(name): self.plain(each, ranks=ranks) for name, each in value.items()}
            case str():
                return self._name(value, value[:3]) if MADE.fullmatch(value) else str(value)
            case frozenset():
                return sorted(self.plain(each) for each in value)
            case Sequence():
                return [self.plain(each, ranks=ranks) for each in value]
            case _:
                return value

    def _name(self, made: str | int, kind: str) -> str:
        return self._names.setdefault(made, f"{kind} {len(self._names)}")

    def sessions(self, tenant: str) -> list[Session]:
        """All sessions of a tenant."""
        return self.store.sessions(tenant, SessionQuery(limit=EVERYTHING))

    def all_jobs(self, tenant: str) -> list[Job]:
        """All kept jobs of a tenant, the newest first."""
        return self.store.jobs(tenant, JobQuery(limit=EVERYTHING))


@dataclass
class Pair(Generic[T]):
    """What the two answered to one command, where both answered."""

    model: T
    keeper: T


class Twins:
    """The model and the keeper."""

    def __init__(self, model: MemoryStore, keeper: Store) -> None:
        self._tables = model._tables
        self.model = Twin(model)
        self.keeper = Twin(keeper)
        self._seen: dict[tuple[str, str], object] = {}

    def do(self, command: Callable[[Twin], T]) -> Pair[T] | None:
        """Give both the same command; return their answers, or None if they refused it. They must agree."""
        told = _outcome(command, self.keeper)
        self._favour(told)
        expected = _outcome(command, self.model)
        assert self.keeper.plain(_in_order(told)) == self.model.plain(_in_order(expected))
        if isinstance(told, PromptqError) or isinstance(expected, PromptqError):
            return None
        return Pair(expected, told)

    def _favour(self, told: object) -> None:
        """Have the model take equally urgent, equally old heads in the order in which the keeper took them."""
        self._tables.favoured = []
        if isinstance(told, Exchange):
            jobs = [*told.ended, *(each.job for each in told.claimed)]
            self._tables.favoured = [(job.tenant, job.session_id) for job in jobs]

    def admitted(self, jobs: Pair[Job]) -> int:
        """Remember a job; return its handle."""
        self.model.jobs.append(jobs.model)
        self.keeper.jobs.append(jobs.keeper)
        return len(self.model.jobs) - 1

    def claimed(self, jobs: Pair[Job]) -> int:
        """Remember an attempt; return its handle."""
        self.model.attempts.append(jobs.model)
        self.keeper.attempts.append(jobs.keeper)
        return len(self.model.attempts) - 1

    def compare(self, tenant: str, *, thoroughly: bool = False) -> None:
        """Compare what a tenant can see: all of it, or without the messages of sessions that are as they were."""
        kept, expected = self.keeper.sessions(tenant), self.model.sessions(tenant)
        plain = self.keeper.plain(kept)
        assert plain == self.model.plain(expected)
        jobs, model_jobs = self.keeper.all_jobs(tenant), self.model.all_jobs(tenant)
        assert self.keeper.plain(jobs, ranks=True) == self.model.plain(model_jobs, ranks=True)
        for session, now in zip(expected, plain, strict=True):
            name = tenant, session.id
            if thoroughly or self._seen.get(name) != now:
                self.do(lambda twin, name=name: twin.store.messages(*name))  # type: ignore[misc]
                self._seen[name] = now
        if thoroughly:
            self.do(lambda twin: dict(sorted(twin.store.busy_sessions(tenant).items())))


def _outcome(command: Callable[[Twin], T], twin: Twin) -> T | PromptqError:
    try:
        return command(twin)
    except PromptqError as error:
        return error


def _is_ranked(job: Job) -> bool:
    """Whether a rank is promised: of what can be claimed; nobody looks at that of a running job."""
    return job.state is State.QUEUED and job.ready_at is not None


def _in_order(told: object) -> object:
    """Bring into one order what is told in any."""
    match told:
        case Exchange():
            return told.evolve(ended=sorted(told.ended, key=_place), next_ready=None)
        case Reconciled():
            lost = sorted(told.lost, key=lambda pair: _place(pair[0]))
            return told.evolve(lost=lost, ended=sorted(told.ended, key=_place))
        case _:
            return told


def _place(job: Job) -> tuple[str, str, int]:
    return job.tenant, job.session_id, job.seq
