"""Any interleaving of commands, given to the plain model and to a real keeper: they agree, and the promises hold.

`PROMPTQ_TEST_EXAMPLES` says how many interleavings are tried on each keeper; without it the same few every time.
"""

import os
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from domain.jobs import AttemptEnd, Finished, Outcome
from domain.messages import Usage
from domain.prompts import Admission, Prompt
from domain.sessions import Creation, OnFailure
from storage.base import Beat, Exchange
from tests.storage.actors import a_prompt, admit_at_once
from tests.storage.promises import Promises
from tests.support.keepers import Keeper
from tests.support.memory_store import MemoryStore
from tests.support.twins import Pair, Twin, Twins

LEASE_MS = 30_000
BACKLOG = 12
EXAMPLES = {"memory": 40, "sqlite": 80, "postgres": 30, "fakeredis": 20, "valkey": 20}

tenants = st.sampled_from([*["default"] * 9, "other"])
sessions = st.sampled_from(["ses_a", "ses_a", "ses_a", "ses_b", "ses_b", "ses_c"])
workers = st.sampled_from(["w1", "w2"])
priorities = st.sampled_from([0, 5, 5, 9])
outcomes = st.sampled_from([Outcome.SUCCEEDED, Outcome.SUCCEEDED, *Outcome])
keys = st.sampled_from([{}, {}, {"message_id": "msg_1"}, {"message_id": "msg_2"}, {"idempotency_key": "k"}])


class Interleaving(RuleBasedStateMachine):
    """One life of a store under several callers and workers."""

    jobs: Bundle[int] = Bundle("jobs")
    attempts: Bundle[int] = Bundle("attempts")

    keeper: ClassVar[Keeper]

    def __init__(self) -> None:
        super().__init__()
        keeper = self.keeper
        self.clock = keeper.clock
        model = MemoryStore(clock=self.clock, backlog=BACKLOG, jitter=lambda: 0.5, ephemeral=keeper.is_ephemeral)
        keeper.empty()
        if not keeper.opened:
            keeper.open(backlog=BACKLOG)
        self.twins = Twins(model, keeper.opened[0])
        self.promises = Promises(model)

    @rule(
        tenant=tenants,
        session=sessions,
        given=st.fixed_dictionaries(
            {},
            optional={
                "title": st.sampled_from(["A", "B"]),
                "on_failure": st.sampled_from(["stop", "stop", "stop", "continue"]),
                "parent_id": sessions,
                "model": st.just("p/m"),
            },
        ),
        if_exists=st.sampled_from(["return", "return", "return", "error"]),
    )
    def create(self, tenant: str, session: str, given: dict[str, Any], if_exists: Any) -> None:
        creation = Creation(session, given=given, if_exists=if_exists, **given)
        self.twins.do(lambda twin: twin.store.create_session(tenant, creation))

    @initialize(target=jobs, stops=st.booleans(), priorities=st.lists(priorities, max_size=3))
    def begin(self, stops: bool, priorities: list[int]) -> MultipleResults[int]:
        """Begin with a session that has a queue: most faults need one."""
        on_failure: OnFailure = "stop" if stops else "continue"
        creation = Creation("ses_a", given={"on_failure": on_failure}, on_failure=on_failure)
        self.twins.do(lambda twin: twin.store.create_session("default", creation))
        return self._admit_several("default", "ses_a", priorities)

    @rule(target=jobs, tenant=tenants, session=sessions, priorities=st.lists(priorities, min_size=1, max_size=3))
    def admit_several(self, tenant: str, session: str, priorities: list[int]) -> MultipleResults[int]:
        return self._admit_several(tenant, session, priorities)

    def _admit_several(self, tenant: str, session: str, priorities: list[int]) -> MultipleResults[int]:
        told = [self._admit(tenant, session, a_prompt(priority=priority)) for priority in priorities]
        return multiple(*(handle for handles in told for handle in handles.values))

    @rule(
        target=jobs,
        tenant=tenants,
        session=sessions,
        text=st.sampled_from(["x", "x", "x", "y"]),
        key=keys,
        wait=st.sampled_from([None, None, 0, 700]),
        patience=st.sampled_from([None, None, 300, 5_000]),
        max_attempts=st.sampled_from([1, 2, 3, 9]),
        when_busy=st.sampled_from([*["queue"] * 6, "reject", "interrupt"]),
        others=st.sampled_from([{}, {}, {}, {"no_reply": True}, {"model": "p/m"}, {"if_missing": "fail"}]),
    )
    def admit(  # noqa: PLR0917 - all are drawn by name
        self,
        tenant: str,
        session: str,
        text: str,
        key: dict[str, Any],
        wait: int | None,
        patience: int | None,
        max_attempts: int,
        when_busy: Any,
        others: dict[str, Any],
    ) -> MultipleResults[int]:
        prompt = a_prompt(
            text,
            not_before=None if wait is None else self.clock.now + wait,
            expires_at=None if patience is None else self.clock.now + patience,
            max_attempts=max_attempts,
            when_busy=when_busy,
            **key,
            **others,
        )
        return self._admit(tenant, session, prompt)

    @rule(
        target=jobs,
        arrivals=st.lists(
            st.tuples(
                sessions,
                st.sampled_from(["x", "x", "x", "y"]),
                keys,
                priorities,
                st.sampled_from([*[{}] * 6, {"no_reply": True}, {"if_missing": "fail"}, {"when_busy": "reject"}]),
            ),
            min_size=2,
            max_size=6,
        ),
    )
    def arrive_together(
        self, arrivals: list[tuple[str, str, dict[str, Any], int, dict[str, Any]]]
    ) -> MultipleResults[int]:
        """Prompts of the same moment: a keeper that takes them together does so as if one after the other."""
        prompts = [
            (session, a_prompt(text, priority=priority, **key, **others))
            for session, text, key, priority, others in arrivals
        ]
        told = self.twins.do(lambda twin: admit_at_once(twin.store, prompts))
        if told is None:
            return multiple()
        handles: list[int] = []
        for one, other in zip(told.model, told.keeper, strict=True):
            if isinstance(one, Admission) and isinstance(other, Admission):
                handles += self._admitted(Pair(one, other)).values
        return multiple(*handles)

    def _admit(self, tenant: str, session: str, prompt: Prompt) -> MultipleResults[int]:
        return self._admitted(self.twins.do(lambda twin: twin.store.admit(tenant, session, prompt)))

    @rule(target=jobs, job=jobs, key=st.sampled_from([None, None, "k", "r"]))
    def retry(self, job: int, key: str | None) -> MultipleResults[int]:
        def command(twin: Twin) -> Any:
            old = twin.jobs[job]
            return twin.store.retry_job(old.tenant, old.id, idempotency_key=key)

        return self._admitted(self.twins.do(command))

    def _admitted(self, told: Pair[Any] | None) -> MultipleResults[int]:
        if told is None:
            return multiple()
        self.promises.admitted(told.model)
        if told.model.job is None:
            return multiple()
        return multiple(self.twins.admitted(Pair(told.model.job, told.keeper.job)))

    @rule(target=attempts, worker=workers, slots=st.integers(1, 4), suspects=st.integers(0, 2))
    def claim(self, worker: str, slots: int, suspects: int) -> MultipleResults[int]:
        return self._exchange(worker, [], slots, suspects)

    @rule(
        target=attempts,
        worker=workers,
        done=st.lists(st.tuples(st.integers(0, 3), outcomes), min_size=1, max_size=3),
        retry_after_ms=st.sampled_from([None, None, 3_000]),
        slots=st.integers(0, 2),
    )
    def finish(
        self, worker: str, done: list[tuple[int, Outcome]], retry_after_ms: int | None, slots: int
    ) -> MultipleResults[int]:
        """Hand in the ends of attempts that run now, some of them perhaps twice."""
        running = self.promises.running(self.twins.model.attempts)
        ends = [(running[place % len(running)], outcome) for place, outcome in done if running]
        return self._exchange(worker, ends, slots, 1, retry_after_ms)

    @rule(target=attempts, worker=workers, attempt=attempts, outcome=outcomes)
    def finish_late(self, worker: str, attempt: int, outcome: Outcome) -> MultipleResults[int]:
        """Hand in the end of any attempt there ever was; if there is one, of one whose job has another attempt now."""
        overtaken = self.promises.overtaken(self.twins.model.attempts)
        late = overtaken[attempt % len(overtaken)] if overtaken else attempt
        return self._exchange(worker, [(late, outcome)], 1, 1)

    def _exchange(
        self,
        worker: str,
        done: list[tuple[int, Outcome]],
        slots: int,
        suspects: int,
        retry_after_ms: int | None = None,
    ) -> MultipleResults[int]:
        def command(twin: Twin) -> Exchange:
            ends = [_end(twin, attempt, outcome, retry_after_ms) for attempt, outcome in done]
            return twin.store.exchange(worker, ends, slots=slots, lease_ms=LEASE_MS, suspects=suspects)

        valid = self.promises.running(self.twins.model.attempts)
        told = self.twins.do(command)
        assert told is not None
        attempts = self.twins.model.attempts
        handed_in = [attempts[attempt] for attempt, _ in done]
        self.promises.exchanged(told.model, handed_in, [attempts[attempt] for attempt in valid])
        pairs = zip(told.model.claimed, told.keeper.claimed, strict=True)
        return multiple(*(self.twins.claimed(Pair(one.job, other.job)) for one, other in pairs))

    @rule(worker=workers, held=st.lists(attempts, max_size=4, unique=True), renew=st.booleans())
    def beat(self, worker: str, held: list[int], renew: bool) -> None:
        def command(twin: Twin) -> Beat:
            names = _held(twin, held)
            return twin.store.renew(worker, names, lease_ms=LEASE_MS) if renew else twin.store.look(worker, names)

        self.twins.do(command)

    @rule(ms=st.sampled_from([1, 400, 2_000, LEASE_MS, 61_000]), mend=st.booleans())
    def pass_time(self, ms: int, mend: bool) -> None:
        self.clock.advance(ms)
        if mend:
            self.twins.do(lambda twin: twin.store.reconcile(limit=100))

    @rule(job=jobs)
    def cancel(self, job: int) -> None:
        self.twins.do(lambda twin: twin.store.cancel_job(twin.jobs[job].tenant, twin.jobs[job].id))

    @rule(
        what=st.sampled_from(["abort", "delete", "fork", "fork", "prune", "prune"]),
        tenant=tenants,
        session=sessions,
        into=sessions,
        before=st.sampled_from([None, None, "msg_1", "msg_2"]),
    )
    def upheave(self, what: str, tenant: str, session: str, into: str, before: str | None) -> None:
        match what:
            case "abort":
                self.twins.do(lambda twin: twin.store.abort_session(tenant, session))
            case "delete":
                self.twins.do(lambda twin: twin.store.delete_session(tenant, session))
            case "fork":
                creation = Creation(into, given={"fork": {"sessionID": session, "messageID": before}})
                self.twins.do(lambda twin: twin.store.fork_session(tenant, session, creation, before=before))
            case _:
                self.twins.do(lambda twin: twin.store.prune(older_than_ms=0, limit=100))
                self.promises.pruned()
                self.twins.compare("default", thoroughly=True)

    @rule(attempt=attempts, worker=workers, tenant=tenants, session=sessions)
    def ask(self, attempt: int, worker: str, tenant: str, session: str) -> None:
        """What changes no queue, all at once: alone they would take the place of what does."""
        self.twins.do(lambda twin: twin.store.history(twin.attempts[attempt]))
        self.twins.do(lambda twin: twin.store.head(twin.attempts[attempt]))
        self.twins.do(lambda twin: twin.store.hold("reconcile", worker, lease_ms=5_000))
        self.twins.do(lambda twin: twin.store.update_session(tenant, session, {"title": "renamed"}))

    @invariant()
    def both_keep_the_same(self) -> None:
        self.twins.compare("default")

    @invariant()
    def promises_are_kept(self) -> None:
        self.promises.check()

    def teardown(self) -> None:
        """Let the faults end: every job reaches its end, whatever came before."""
        for _ in range(200):
            self.clock.advance(LEASE_MS + 61_000)
            self.twins.do(lambda twin: twin.store.reconcile(limit=100))
            told = self.twins.do(lambda twin: twin.store.exchange("last", [], slots=20, lease_ms=LEASE_MS))
            assert told is not None
            for one, other in zip(told.model.claimed, told.keeper.claimed, strict=True):
                attempt = self.twins.claimed(Pair(one.job, other.job))
                self._exchange("last", [(attempt, Outcome.SUCCEEDED)], 0, 1)
            if not self.promises.open_jobs():
                break
        for tenant in ("default", "other"):
            self.twins.compare(tenant, thoroughly=True)
        self.promises.check()
        assert self.promises.open_jobs() == []


def _end(twin: Twin, attempt: int, outcome: Outcome, retry_after_ms: int | None) -> Finished:
    job = twin.attempts[attempt]
    parts = [{"type": "text", "text": f"answer {attempt}"}]
    end = AttemptEnd(outcome, parts=parts, usage=Usage(1, 2), cost=0.5, retry_after_ms=retry_after_ms)
    return Finished(job.tenant, job.session_id, job.incarnation, job.id, job.attempt, end)


def _held(twin: Twin, attempts: list[int]) -> list[tuple[str, str, int]]:
    latest = {twin.attempts[each].id: twin.attempts[each] for each in attempts}
    return [(job.tenant, job.id, job.attempt) for job in latest.values()]


@pytest.mark.timeout(600)
def test_any_interleaving_of_commands_goes_as_in_the_model(keeper: Keeper) -> None:
    wanted = os.environ.get("PROMPTQ_TEST_EXAMPLES")
    run_state_machine_as_test(
        type("InterleavingHere", (Interleaving,), {"keeper": keeper}),
        settings=settings(
            max_examples=int(wanted) if wanted else EXAMPLES[keeper.kind],
            stateful_step_count=40,
            deadline=None,
            derandomize=wanted is None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
