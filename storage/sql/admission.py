"""How prompts get in: keys checked, sessions made, places given.

Prompts that come at once are taken together: as if one after the other, but with each statement made once for all. What
is decided is decided before anything is written, so that one prompt's refusal is no concern of its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from domain import creation as creating
from domain import lifecycle
from domain.clock import Millis
from domain.errors import (
    BacklogFull,
    JobNotFound,
    JobNotRetryable,
    MessageNotFound,
    PromptDiffers,
    PromptqError,
    SessionBusy,
    SessionNotFound,
)
from domain.ids import is_hidden
from domain.jobs import Job, State
from domain.messages import Message, Role
from domain.prompts import Admission, Disposition, Prompt
from domain.sameness import refuse_answers_name, same_prompt
from domain.sessions import Session
from storage.sql import creating as sessions
from storage.sql import queue, reading
from storage.sql.backlog import Backlog
from storage.sql.batches.outcomes import note_ends
from storage.sql.transactions import Tx


class Arrival(NamedTuple):
    """A prompt on its way in."""

    tenant: str
    session_id: str
    prompt: Prompt

    @property
    def session_name(self) -> tuple[str, str]:
        """Where it goes: tenant and session ID."""
        return self.tenant, self.session_id


Name = tuple[str, str]
Outcome = Admission | PromptqError | None
"""What became of an arrival: taken, refused, or (None) left: it has to be taken alone."""


@dataclass(frozen=True)
class Terms:
    """What prompts are taken under."""

    default_model: str
    backlog: Backlog


@dataclass
class _Queue:
    """A session as it is while prompts are put into it, and what is to be written of it."""

    session: Session
    created: bool = False
    #: Whether somebody's open jobs were there before, and how urgent the most urgent of them was.
    was_open: bool = False
    urgency: int = -1
    #: Its later prompts are left too, so that they do not overtake.
    is_left: bool = False
    head: Job | None = None
    knows_head: bool = False
    jobs: list[Job] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    #: Which of the arrivals go here.
    places: list[int] = field(default_factory=list)
    kept: dict[reading.Key, Message] = field(default_factory=dict)


def admit(tx: Tx, arrival: Arrival, terms: Terms) -> Admission:
    """Take a prompt. See `Store.admit`."""
    while True:
        (outcome,) = admit_together(tx, [arrival], terms, alone=True)
        if isinstance(outcome, PromptqError):
            raise outcome
        if outcome is not None:
            return outcome
        # Somebody else has just made its session.


def admit_together(
    tx: Tx, arrivals: Sequence[Arrival], terms: Terms, *, alone: bool = False, waits: bool = False
) -> list[Outcome]:
    """Take prompts, in this order.

    Left are those whose session somebody else holds or has just made (but who is making one now is waited for: nobody
    can tell yet what it will be), and those that
    interrupt what is under way, unless `alone`: then there is one, it waits, and is left only if its session is being
    made by another. With `waits`, sessions that others hold are waited for, in their order.
    """
    group = _Group(tx, arrivals, terms, alone=alone, waits=waits)
    group.load()
    for place, arrival in enumerate(arrivals):
        try:
            group.outcomes[place] = group.take(place, arrival)
        except PromptqError as refusal:
            group.outcomes[place] = refusal
    group.write()
    return group.outcomes


class _Group:
    """Prompts that are taken in one transaction."""

    def __init__(self, tx: Tx, arrivals: Sequence[Arrival], terms: Terms, *, alone: bool, waits: bool) -> None:
        self._tx = tx
        self._arrivals = arrivals
        self._terms = terms
        self._alone = alone
        #: Whether a session that was not found is not there.
        self._sees_all = alone or waits or tx.is_sqlite
        self._skips = not alone and not waits
        self._queues: dict[Name, _Queue] = {}
        self._repeated: dict[str, Job] = {}
        self._new_jobs: dict[str, int] = {}
        self._now: Millis = 0
        self.outcomes: list[Outcome] = [None] * len(arrivals)

    def load(self) -> None:
        """Lock the sessions, and find what the prompts' keys name in them."""
        names = {arrival.session_name for arrival in self._arrivals}
        for name, found in queue.lock_sessions(self._tx, names, skip_locked=self._skips).items():
            self._queues[name] = _Queue(found, was_open=found.open_total > 0, urgency=found.urgency)
        keyed = [
            (self._queues[arrival.session_name].session, key)
            for arrival in self._arrivals
            if arrival.session_name in self._queues and (key := reading.key_of(arrival.prompt)) is not None
        ]
        kept = reading.keyed_messages(self._tx, keyed)
        for of, key in keyed:
            message = kept.get((of.tenant, of.id, key))
            if message is not None:
                self._queues[of.tenant, of.id].kept[key] = message
        jobs = ((message.tenant, message.job_id) for message in kept.values() if message.job_id is not None)
        self._repeated = queue.load_jobs(self._tx, jobs)
        self._now = self._tx.now()

    def take(self, place: int, arrival: Arrival) -> Outcome:
        """Decide on one.

        Raises:
            PromptqError: it is refused. See `Store.admit`.
        """
        prompt = arrival.prompt
        of = self._queues.get(arrival.session_name)
        if of is None:
            return self._take_into_new(place, arrival)
        of.places.append(place)
        if of.is_left:
            return None
        kept = self._find_kept(of, prompt)
        if kept is not None:
            return self._repeat(of, kept, prompt)
        if of.session.open_total and prompt.when_busy == "reject":
            raise SessionBusy(arrival.session_id)
        self._check_backlog(arrival)
        if not (of.session.open_total and prompt.when_busy == "interrupt"):
            return self._admit(of, prompt)
        if self._alone:
            ended, interrupted = self._interrupt(of)
            return self._admit(of, prompt).evolve(ended=ended, interrupted=interrupted)
        of.is_left = True
        return None

    def _take_into_new(self, place: int, arrival: Arrival) -> Outcome:
        """Decide on one whose session was not found."""
        prompt = arrival.prompt
        if prompt.if_missing == "fail":
            if not self._sees_all:
                return None
            raise SessionNotFound(arrival.session_id)
        try:
            self._check_backlog(arrival)
        except BacklogFull:
            if self._sees_all:
                raise
            return None  # the session may be there, and this a repeat
        implied = creating.implied(arrival.session_id, prompt)
        of = _Queue(creating.new_session(arrival.tenant, implied, self._now), created=True)
        self._queues[arrival.session_name] = of
        of.places.append(place)
        return self._admit(of, prompt, created=True)

    def write(self) -> None:
        """Write what was decided."""
        taken = [of for of in self._queues.values() if of.messages]
        made = [of for of in taken if of.created]
        free = sessions.insert_if_free(self._tx, [of.session for of in made])
        for of in made:
            if (of.session.tenant, of.session.id) not in free:
                taken.remove(of)
                for place in of.places:
                    self.outcomes[place] = None
        for of in taken:
            self._stamp(of)
        queue.insert_jobs(self._tx, [job for of in taken for job in of.jobs])
        queue.insert_messages(self._tx, [message for of in taken for message in of.messages])
        there = sorted((of for of in taken if not of.created), key=lambda of: (of.session.tenant, of.session.id))
        queue.save_queues(self._tx, [of.session for of in there])
        more_urgent = [of.session for of in there if of.was_open and of.session.urgency != of.urgency]
        queue.stamp_heads(self._tx, more_urgent, self._now)

    def _stamp(self, of: _Queue) -> None:
        """Make a session's first new job its head, if no other is."""
        if of.was_open or not of.jobs:
            return
        head = of.jobs[0] = lifecycle.stamp(of.session, of.jobs[0], self._now)
        for place in of.places:
            outcome = self.outcomes[place]
            if isinstance(outcome, Admission) and outcome.job is not None and outcome.job.id == head.id:
                self.outcomes[place] = outcome.evolve(job=head)

    def _check_backlog(self, arrival: Arrival) -> None:
        if not arrival.prompt.no_reply:
            self._terms.backlog.check(self._tx, arrival.tenant, self._new_jobs.get(arrival.tenant, 0))

    def _find_kept(self, of: _Queue, prompt: Prompt) -> Message | None:
        key = reading.key_of(prompt)
        if key is None:
            return None
        kept = of.kept.get(key)
        if kept is None and prompt.message_id is not None and of.was_open:
            if not of.knows_head:
                of.head, of.knows_head = queue.find_head(self._tx, of.session), True
            refuse_answers_name(prompt, of.head)
        return kept

    def _repeat(self, of: _Queue, kept: Message, prompt: Prompt) -> Admission:
        if not same_prompt(kept, prompt, of.session, default_model=self._terms.default_model):
            field_name = "messageID" if prompt.message_id else "Idempotency-Key"
            raise PromptDiffers(prompt.message_id or prompt.idempotency_key or "", field_name)
        job = self._repeated.get(kept.job_id) if kept.job_id is not None else None
        return Admission(Disposition.REPEATED, session_created=False, session=of.session, message=kept, job=job)

    def _admit(self, of: _Queue, prompt: Prompt, *, created: bool = False) -> Admission:
        change = lifecycle.admit(of.session, prompt, default_model=self._terms.default_model, now=self._now)
        (message,) = change.messages
        of.session = change.session
        of.messages.append(message)
        key = reading.key_of(prompt)
        if key is not None:
            of.kept[key] = message
        job = change.jobs[0] if change.jobs else None
        if job is not None:
            of.jobs.append(job)
            self._repeated[job.id] = job
            self._new_jobs[job.tenant] = self._new_jobs.get(job.tenant, 0) + 1
        return Admission(Disposition.ADMITTED, created, change.session, message, job)

    def _interrupt(self, of: _Queue) -> tuple[tuple[Job, ...], tuple[Job, ...]]:
        """End what is queued and ask what runs to end; return both."""
        open_jobs = queue.open_jobs(self._tx, of.session)
        change = lifecycle.cancel_all(of.session, open_jobs, self._now, why=lifecycle.INTERRUPTED)
        queue.save_jobs(self._tx, change.jobs)
        queue.insert_messages(self._tx, change.messages)
        note_ends(self._tx, change.jobs, change.messages)
        of.session, of.was_open, of.urgency = change.session, change.session.open_total > 0, change.session.urgency
        ended = tuple(each for each in change.jobs if not each.state.is_open)
        return ended, tuple(each for each in change.jobs if each.state is State.RUNNING)


def retry_job(tx: Tx, tenant: str, job_id: str, *, idempotency_key: str | None, terms: Terms) -> Admission:
    """Admit a job that repeats an ended one. See `Store.retry_job`."""
    old = queue.find_job(tx, tenant, job_id)
    if old is None:
        raise JobNotFound(job_id)
    if is_hidden(old.session_id):
        raise JobNotRetryable(job_id, "a one-off's, whose prompt is not kept")
    found = queue.load_session(tx, tenant, old.session_id, lock=True)
    if found.incarnation != old.incarnation:
        raise SessionNotFound(old.session_id)
    old = queue.find_job(tx, tenant, job_id) or old
    if old.state.is_open or old.state is State.SUCCEEDED:
        raise JobNotRetryable(job_id, old.state)
    original = reading.find_prompt(tx, old)
    if original is None or original.role is not Role.USER:
        raise MessageNotFound(old.message_id)
    prompt = lifecycle.retried(old, original).evolve(idempotency_key=idempotency_key)
    return admit(tx, Arrival(tenant, old.session_id, prompt), terms)
