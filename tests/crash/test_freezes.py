"""A worker that stands still for longer than its lease, and then goes on as if nothing had been: I1 to I6 hold."""

from domain.clock import millis, system_clock
from tests.crash.clients import SESSIONS
from tests.crash.fleet import LEASE_S, PATIENCE_S, Member
from tests.crash.model import mostly_quick
from tests.crash.trial import Trial
from tests.support.history import Call
from tests.support.waiting import eventually


def test_what_a_frozen_worker_hands_in_after_its_lease_is_fenced(trial: Trial) -> None:
    trial.model.delay = slow_when_repeated
    trial.fleet.api()
    trial.clients.start()
    trial.until(lambda: len({job.session_id for job in trial.observer.jobs()}) == SESSIONS, "all sessions have work")
    frozen = freeze_with_ends_in_hand(trial)
    held = held_by(trial, frozen)
    assert held
    trial.fleet.worker()
    trial.until(lambda: held <= repeated(trial), "the other worker begins all that the frozen one had")
    frozen.thaw()
    trial.until_asked(5)
    history = trial.holds()
    eventually(lambda: trial.fleet.said("end_fenced"), PATIENCE_S, what="an end is fenced")
    assert {job.state for job in history.jobs} == {"succeeded"}
    assert frozen.is_alive


def test_workers_freeze_at_any_moment_for_longer_than_a_lease(trial: Trial) -> None:
    trial.model.delay = slow_when_repeated
    trial.fleet.api()
    workers = [trial.fleet.worker(), trial.fleet.worker()]
    trial.until_hearing(2)
    trial.clients.start()
    for _ in range(4):
        trial.until_asked(trial.chance.randint(3, 15))
        frozen = trial.chance.choice(workers)
        frozen.freeze()
        freeze_out(trial, frozen)
        frozen.thaw()
    trial.until_asked(5)
    history = trial.holds()
    assert any(job.attempt > 1 for job in history.jobs)
    assert {job.state for job in history.jobs} == {"succeeded"}
    assert all(worker.is_alive for worker in workers)


def slow_when_repeated(call: Call) -> float:
    """Have the next attempt under way when the one before it is handed in: only its number tells them apart then."""
    return 1.0 if call.attempt > 1 else mostly_quick(call)


def freeze_with_ends_in_hand(trial: Trial) -> Member:
    """Have a worker freeze when it is about to hand in what it has done.

    It is alone and has fewer slots than there are sessions with work: its first exchange fills them, and its second
    comes when the first attempt has ended.
    """
    for _ in range(5):
        worker = trial.fleet.worker("engine.before_exchange=stop@2")
        worker.until_frozen()
        if trial.observer.is_writable():
            return worker
        worker.kill()  # frozen in a transaction of another of its threads: SQLite would wait for its end
    raise AssertionError("the worker was in a transaction each time")


def freeze_out(trial: Trial, frozen: Member) -> None:
    """Wait until another worker has begun what a frozen one held; or, if it froze in a transaction, three leases."""
    held = held_by(trial, frozen)
    over = system_clock() + millis(3 * LEASE_S)
    trial.until(lambda: (held and held <= repeated(trial)) or system_clock() > over, "its leases have run out")


def held_by(trial: Trial, worker: Member) -> set[tuple[str, int]]:
    """The jobs that a worker holds, each with the number of the attempt that would follow."""
    jobs = trial.observer.jobs()
    return {
        (job.id, job.attempt + 1) for job in jobs if job.state == "running" and f":{worker.pid}:" in str(job.worker)
    }


def repeated(trial: Trial) -> set[tuple[str, int]]:
    """The attempts after the first ones that have asked the model."""
    return {(call.job, call.attempt) for call in trial.model.calls if call.attempt > 1}
