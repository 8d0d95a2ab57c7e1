"""How lines of a batch are passed: admitted as prompts, or given their outcome, in one transaction a step."""

from __future__ import annotations

import re
from collections.abc import Sequence

from domain import creation as creating
from domain import lifecycle
from domain.batches import results
from domain.batches.batch import LineState
from domain.batches.lines import LineName
from domain.batches.results import Result
from domain.clock import Millis
from domain.errors import BacklogFull, PromptqError
from domain.ids import is_hidden
from domain.jobs import Failure, Job, State
from domain.messages import Message
from domain.prompts import Admission, Disposition, Prompt
from domain.sessions import Session
from storage.batches import Step
from storage.sql import admission, queue, reading
from storage.sql import creating as sessions
from storage.sql.admission import Arrival, Terms
from storage.sql.batches import changing, outcomes
from storage.sql.transactions import Tx

Coming = tuple[LineName, str, Prompt]


class SessionBeingMade(PromptqError):
    """Somebody else is just making a session that a line is for: the step is to be tried again."""


def pass_lines(tx: Tx, step: Step, terms: Terms) -> bool:
    """Pass lines. See `Batches.pass_lines`.

    Raises:
        SessionBeingMade: try again.
    """
    of = step.batch
    current = changing.load(tx, of.tenant, of.id, lock=True)
    if (current.state, current.run, current.place, current.paused) != (of.state, of.run, of.place, of.paused):
        return False
    name = (of.tenant, of.id)
    now = tx.now()
    one_offs = [coming for coming in step.arrivals if is_hidden(coming[1])]
    _admit_one_offs(tx, of.tenant, one_offs, terms, now)
    found, watched = _admit(tx, of.tenant, [coming for coming in step.arrivals if not is_hidden(coming[1])], terms)
    outcomes.note(tx, name, [*step.results, *found])
    outcomes.watch(tx, name, [*step.watched, *watched])
    changing.save(tx, current.evolve(place=step.place, passed=current.passed + step.passed))
    return True


def _admit_one_offs(tx: Tx, tenant: str, comings: Sequence[Coming], terms: Terms, now: Millis) -> None:
    """Take prompts that have sessions of their own: no name is looked up, and nobody else can know theirs."""
    if not comings:
        return
    terms.backlog.check(tx, tenant, len(comings) - 1)
    made: list[Session] = []
    jobs: list[Job] = []
    messages: list[Message] = []
    for _, session_id, prompt in comings:
        session = creating.new_session(tenant, creating.implied(session_id, prompt), now)
        change = lifecycle.admit(session, prompt, default_model=terms.default_model, now=now)
        made.append(change.session)
        jobs.append(lifecycle.stamp(change.session, change.jobs[0], now))
        messages += change.messages
    sessions.insert(tx, made)
    queue.insert_jobs(tx, jobs)
    queue.insert_messages(tx, messages)


def _admit(
    tx: Tx, tenant: str, comings: Sequence[Coming], terms: Terms
) -> tuple[list[Result], list[tuple[LineName, str]]]:
    """Take prompts to sessions. Returns the outcomes of those that are no new jobs, or the jobs that they repeat.

    Raises:
        BacklogFull: the tenant has too many open jobs.
        SessionBeingMade: somebody else is just making one of the sessions.
    """
    found: list[Result] = []
    watched: list[tuple[LineName, str]] = []
    if not comings:
        return found, watched
    arrivals = [Arrival(tenant, session_id, prompt) for _, session_id, prompt in comings]
    told = admission.admit_together(tx, arrivals, terms, waits=True)
    for (name, session_id, prompt), outcome in zip(comings, told, strict=True):
        match outcome:
            case BacklogFull():
                raise outcome
            case None:
                raise SessionBeingMade(session_id)
            case PromptqError():
                failure = Failure(_code(outcome), str(outcome))
                found.append(results.of_failure(name, LineState.FAILED, failure, prompt.batch_id or ""))
            case Admission() if outcome.disposition is Disposition.REPEATED:
                job = _repeated(outcome)
                if job.state.is_open:
                    watched.append((name, job.id))
                else:
                    answer = reading.find_answer(tx, tenant, session_id, job.incarnation, job.seq)
                    found.append(results.of_job(name, job, answer))
    return found, watched


def _repeated(kept: Admission) -> Job:
    """Return the job that a line repeats; of one whose record is past retention, what its message knows of it."""
    if kept.job is not None:
        return kept.job
    message = kept.message
    return Job(
        tenant=message.tenant,
        id=message.job_id or "",
        session_id=message.session_id,
        incarnation=message.incarnation,
        seq=message.seq,
        message_id=message.id,
        model=message.detail["model"],
        agent=message.detail["agent"],
        created=message.created,
        state=State(message.job_state or State.FAILED),
    )


def _code(error: PromptqError) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
