"""Tells those who wait and those who watch what this worker has done: notices of ends, and events.

Events are made only of sessions that somebody watches; so a prompt that nobody watches costs one question to Redis
for all that a commit changed. Deltas are told about twenty times a second, and never before the claim is committed.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from domain import events
from domain.answers import answer_of
from domain.errors import SessionNotFound, StoreUnavailable
from domain.events import Bundle, Event, Stage
from domain.jobs import Job
from domain.prompts import Admission
from domain.shapes import status_shape
from storage.base import Store
from storage.notices import truth
from storage.notices.publishing import Ask, Name, Notices, Watched
from tasks.engine.event_loop import EventLoop
from tasks.engine.growth import Growth
from tasks.engine.outlets import Commit, terminal_jobs
from tasks.engine.slots import Attempt

log = logging.getLogger(__name__)

TICK_S = 0.05
"""Between two looks at what the answers of watched attempts have grown by."""

LOOK_S = 1.0
"""Between two questions whether somebody has begun to watch an attempt that runs."""


class Teller:
    """The audience that makes events. `tell` is for one thread; the rest runs on the event loop."""

    def __init__(self, store: Store, notices: Notices) -> None:
        self._store = store
        self._notices = notices
        self._event_loop: EventLoop | None = None
        self._hand_in: Callable[[Commit], None] = _nothing
        #: Attempts that run here, by whether they are watched.
        self._watched: dict[tuple[str, str, int], tuple[Attempt, Growth]] = {}
        self._unwatched: dict[tuple[str, str, int], Attempt] = {}
        self._ticking = False
        self._asked_at = 0.0

    def attach(self, event_loop: EventLoop, hand_in: Callable[[Commit], None]) -> None:
        """Begin to look at what runs; `hand_in` has a commit told, after those that came before."""
        self._event_loop = event_loop
        self._hand_in = hand_in
        event_loop.call(self._ask_again)

    def tell(self, commits: Sequence[Commit]) -> None:
        """Tell of commits, and of what has grown. Raises nothing for trouble with Redis or the store."""
        self._forget_the_lost()
        for commit in commits:
            for attempt in commit.began:
                self._unwatched[attempt.key] = attempt
        jobs = terminal_jobs(commits)
        self._notices.tell(jobs, _tenants(commits, self._unwatched), partial(self._made, commits, jobs))
        for commit in commits:
            for attempt in commit.over:
                self._forget(attempt)

    def _made(self, commits: Sequence[Commit], jobs: Sequence[Job], ask: Ask) -> list[Bundle]:
        """Make events. What cannot be made of one thing must not end the telling of all that follows."""
        watched = ask(_sessions(commits) | self._overdue())
        try:
            return self._bundles(commits, {_name(job): job.id for job in jobs}, watched) if watched else []
        except Exception as error:  # noqa: BLE001
            log.error("events_not_made", extra={"error": type(error).__name__})  # noqa: TRY400 - no content in logs
            return []

    def _bundles(self, commits: Sequence[Commit], last: Mapping[Name, str], watched: Watched) -> list[Bundle]:
        bundles: list[Bundle] = []
        told = {attempt.key for commit in commits for attempt in commit.began}
        for attempt in list(self._unwatched.values()):
            if _name(attempt.job) in watched:
                if attempt.key not in told:
                    bundles.append(events.of_claim(attempt.claimed))
                self._watch(attempt)
        for commit in commits:
            bundles += [events.of_admission(each) for each in commit.admitted if _of(each) in watched]
            for attempt, grown in commit.grown:
                if _name(attempt.job) in watched:
                    bundles.append(_of_growth(attempt, grown))
            bundles += self._of_ends(commit, last, watched)
            for attempt in commit.began:
                if _name(attempt.job) in watched:
                    bundles.append(events.of_claim(attempt.claimed))
        return [bundle.evolve(is_kept=watched[bundle.tenant, bundle.session_id]) for bundle in bundles]

    def _of_ends(self, commit: Commit, last: Mapping[Name, str], watched: Watched) -> list[Bundle]:
        attempts = {(attempt.job.id, attempt.job.attempt): attempt for attempt in commit.over}
        #: Each attempt's job before and after, and the attempt if it was here.
        ends: list[tuple[Job, Job, Attempt | None]] = [
            (attempts[job.id, number].job, job, attempts[job.id, number]) for job, number, _ in commit.taken
        ]
        ends += [(job, job, None) for job in commit.ended]
        ends += [(before, after, None) for before, after in commit.lost]
        bundles = []
        for before, after, attempt in ends:
            if _name(after) not in watched:
                continue
            # What cannot be told now because the store does not answer, those who watch read from it later.
            with contextlib.suppress(StoreUnavailable):
                more = last.get(_name(after)) != after.id
                bundle = self._left(before, after) if after.state.is_open else self._ended(after, attempt, more=more)
                if bundle is not None:
                    bundles.append(bundle)
        return bundles

    def _left(self, before: Job, after: Job) -> Bundle | None:
        try:
            session = self._store.session(after.tenant, after.session_id)
        except SessionNotFound:
            return None
        return events.of_repeat(session, before, status_shape(after))

    def _ended(self, job: Job, attempt: Attempt | None, *, more: bool) -> Bundle | None:
        if attempt is None or attempt.end is None:
            return truth.end_of(self._store, job, more=more)
        answer = answer_of(attempt.claimed.session, job, attempt.end, job.ended or 0)
        bundle = truth.end_of(self._store, job, answer, more=more)
        if bundle is None or attempt.key not in self._watched:
            return bundle
        rest = self._watched[attempt.key][1].rest(tuple(answer.parts), job.ended or 0)
        return bundle.evolve(events=(*rest, *bundle.events[len(answer.parts) :]))

    def _overdue(self) -> set[Name]:
        """Name the sessions of attempts of which it was not asked for a while whether somebody watches them."""
        now = time.monotonic()
        if now - self._asked_at < LOOK_S / 2:
            return set()
        self._asked_at = now
        return {_name(attempt.job) for attempt in self._unwatched.values()}

    def _watch(self, attempt: Attempt) -> None:
        del self._unwatched[attempt.key]
        if attempt.ended is None and self._event_loop is not None and attempt.job.assistant_id is not None:
            self._watched[attempt.key] = (attempt, Growth(attempt.job.session_id, attempt.job.assistant_id))
            self._event_loop.call(self._begin_ticking)

    def _forget(self, attempt: Attempt) -> None:
        self._unwatched.pop(attempt.key, None)
        self._watched.pop(attempt.key, None)

    def _forget_the_lost(self) -> None:
        """Forget attempts whose end nobody wants: no commit tells of it."""
        for attempt in [*self._unwatched.values(), *(attempt for attempt, _ in self._watched.values())]:
            if attempt.ended is not None and attempt.end is None:
                self._forget(attempt)

    def _ask_again(self) -> None:
        """Have it asked now and then who watches what runs: somebody may have come meanwhile."""
        if self._event_loop is not None:
            self._event_loop.loop.call_later(LOOK_S, self._ask_again)
        if self._unwatched:
            self._hand_in(Commit())

    def _begin_ticking(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._tick()

    def _tick(self) -> None:
        watched = list(self._watched.values())
        grown = []
        for attempt, growth in watched:
            if attempt.ended is None:
                more = growth.look(attempt.folding, attempt.now())
                if more:
                    grown.append((attempt, more))
        if grown:
            self._hand_in(Commit(grown=grown))
        if watched and self._event_loop is not None:
            self._event_loop.loop.call_later(TICK_S, self._tick)
        else:
            self._ticking = False


def _nothing(*_: object) -> None:
    """Tell nobody."""


def _name(job: Job) -> Name:
    return job.tenant, job.session_id


def _of(admission: Admission) -> Name:
    return admission.session.tenant, admission.session.id


def _jobs(commit: Commit) -> list[Job]:
    return [
        *commit.claimed,
        *(job for job, _, _ in commit.taken),
        *commit.ended,
        *(after for _, after in commit.lost),
        *(attempt.job for attempt, _ in commit.grown),
    ]


def _tenants(commits: Sequence[Commit], unwatched: dict[tuple[str, str, int], Attempt]) -> set[str]:
    return {tenant for tenant, _ in _sessions(commits)} | {tenant for tenant, _, _ in unwatched}


def _sessions(commits: Sequence[Commit]) -> set[Name]:
    admitted = {_of(admission) for commit in commits for admission in commit.admitted}
    return admitted | {_name(job) for commit in commits for job in _jobs(commit)}


def _of_growth(attempt: Attempt, grown: Sequence[Event]) -> Bundle:
    return Bundle.of(attempt.claimed.session, grown).about(attempt.job, Stage.GROWN)
