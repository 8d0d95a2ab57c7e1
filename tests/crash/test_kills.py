"""SIGKILL of each part of a fleet, again and again, under load: I1 to I6 hold."""

from tests.crash.trial import Trial


def test_workers_are_killed_again_and_again(trial: Trial) -> None:
    trial.fleet.api()
    workers = [trial.fleet.worker(), trial.fleet.worker()]
    trial.clients.start()
    for _ in range(5):
        trial.until_asked(trial.chance.randint(5, 20))
        place = trial.chance.randrange(2)
        workers[place].kill()
        workers[place] = trial.fleet.worker()
    trial.until_hearing(2)
    history = trial.holds()
    assert any(job.attempt > 1 for job in history.jobs)
    assert {job.state for job in history.jobs} == {"succeeded"}


def test_the_api_is_killed_during_submissions(trial: Trial) -> None:
    api = trial.fleet.api()
    workers = [trial.fleet.worker(), trial.fleet.worker()]
    trial.clients.start()
    for _ in range(3):
        trial.until_asked(trial.chance.randint(5, 20))
        api.kill()
        api = trial.fleet.api()
    trial.until_asked(5)
    history = trial.holds()
    assert any(each.status is None for each in history.submissions)
    assert {job.state for job in history.jobs} == {"succeeded"}
    assert all(worker.is_alive for worker in workers)


def test_valkey_is_killed_and_comes_back_empty(trial: Trial) -> None:
    trial.fleet.api()
    workers = [trial.fleet.worker(), trial.fleet.worker()]
    trial.clients.start()
    for _ in range(2):
        trial.until_hearing(2)
        trial.until_asked(trial.chance.randint(5, 20))
        trial.valkey.kill()
        trial.until_asked(5)
        trial.valkey.start()
    trial.until_hearing(2)
    history = trial.holds()
    assert not trial.clients.refused(), "trouble with Redis fails no durable prompt"
    assert {job.state for job in history.jobs} == {"succeeded"}
    assert all(worker.is_alive for worker in workers)
