"""A worker that stands still for longer than its lease, and then goes on as if nothing had been: I1 to I6 hold."""

from domain.clock import millis, system_clock
from tests.crash.clients import SESSIONS
from tests.crash.fleet import LEASE_S, PATIENCE_S, Member
from tests.crash.model import mostly_quick
from tests.crash.trial import Trial
from tests.support.waiting import eventually


def test_what_a_frozen_worker_hands_in_after_its_lease_is_fenced(trial: Trial) -> None:
    trial.fleet.api()
    trial.clients.start()
    eventually(
        lambda: len({job.session_id for job in trial.observer.jobs()}) == SESSIONS, what="all sessions have work"
    )
    frozen = freeze_with_ends_in_hand(trial)
    held = [job for job in trial.observer.jobs() if job.state == "running"]
    assert held

    # The next attempts are under way when the first ones are handed in: their number alone tells them apart.
    trial.model.delay = lambda call: 1.0 if call.attempt > 1 else mostly_quick(call)
    trial.fleet.worker()
    names = {job.id for job in held}
    eventually(
        lambda: names == {call.job for call in trial.model.calls if call.attempt > 1},
        PATIENCE_S,
        what="the other worker begins what the frozen one had",
    )
    frozen.thaw()
    eventually(lambda: trial.fleet.said("end_fenced"), PATIENCE_S, what="an end is fenced")
    trial.until_asked(5)
    history = trial.holds()
    assert {job.state for job in history.jobs} == {"succeeded"}
    assert frozen.is_alive


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


def test_workers_freeze_at_any_moment_for_longer_than_a_lease(trial: Trial) -> None:
    trial.fleet.api()
    workers = [trial.fleet.worker(), trial.fleet.worker()]
    trial.until_hearing(2)
    trial.clients.start()
    for _ in range(3):
        trial.until_asked(trial.chance.randint(3, 15))
        frozen = trial.chance.choice(workers)
        frozen.freeze()
        until_leases_have_run_out()
        frozen.thaw()
    trial.until_asked(5)
    history = trial.holds()
    assert any(job.attempt > 1 for job in history.jobs)
    assert {job.state for job in history.jobs} == {"succeeded"}
    assert all(worker.is_alive for worker in workers)


def until_leases_have_run_out() -> None:
    """Wait until no lease that is held now, and not renewed, is valid."""
    over = system_clock() + millis(1.5 * LEASE_S)
    eventually(lambda: system_clock() > over, what="all leases have run out")
