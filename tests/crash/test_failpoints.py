"""A process dies at every failpoint, once: I1 to I6 hold, and what was asked for again is done once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.crash import failpoints
from tests.crash.clients import Ask, submit
from tests.crash.fleet import Member
from tests.crash.trial import Trial

#: A time that does not come while the test runs: in the year 2100.
LATER = 4_102_444_800_000

#: Workers at a time that are about to die. They have as many slots as there are sessions with work.
ARMED = 2


def test_no_failpoint_is_missing_here() -> None:
    assert failpoints.in_the_source() == failpoints.ALL


def test_a_worker_dies_at_every_failpoint(trial: Trial) -> None:
    trial.fleet.api()
    trial.clients.start()
    points = list(failpoints.WORKER[trial.database])
    trial.chance.shuffle(points)
    armed: list[Member] = []
    while points or armed:
        while points and len(armed) < ARMED:
            armed.append(trial.fleet.worker(f"{points.pop()}=kill"))
        names = " or ".join(member.failpoints for member in armed)
        trial.until(lambda: not all(member.is_alive for member in armed), f"a worker dies of {names}")
        for member in [member for member in armed if not member.is_alive]:
            member.dies_by_itself()
            armed.remove(member)
    trial.fleet.worker()
    trial.until_hearing(1)
    history = trial.holds()
    assert {job.state for job in history.jobs} == {"succeeded"}


def test_a_worker_dies_while_it_takes_up_what_its_lost_predecessor_held(trial: Trial) -> None:
    trial.fleet.api()
    lost = trial.fleet.worker(name="same")
    trial.clients.start()
    for point in failpoints.SUCCESSOR:
        trial.until_asked(3)
        if lost.is_alive:
            lost.kill()
        trial.fleet.worker(f"{point}=kill", name="same").dies_by_itself()
        lost = trial.fleet.worker(name="same")
    history = trial.holds()
    assert {job.state for job in history.jobs} == {"succeeded"}


def test_the_api_dies_at_every_failpoint(trial: Trial) -> None:
    trial.fleet.worker()
    api = trial.fleet.api()
    caller = Caller(trial)
    prepared = [
        (point, wish_at(point)(caller, f"ses_{number}")) for number, point in enumerate(failpoints.API[trial.database])
    ]
    api.kill()
    done: list[Wish] = []
    for point, wish in prepared:
        api = trial.fleet.api(f"{point}=kill")
        # What the last one was asked for when it died is asked for again.
        assert all(before.ask() for before in done[-1:])
        wish.ask()
        api.dies_by_itself()
        done.append(wish)
    trial.fleet.api()
    assert done[-1].ask()
    history = trial.holds()
    assert {job.state for job in history.jobs} == {"succeeded", "cancelled"}
    for point, wish in prepared:
        assert wish.is_fulfilled(), point


@dataclass(frozen=True)
class Wish:
    """Something that the API is asked for, the same again and again."""

    #: Asks once; returns whether the answer says that it is done.
    ask: Callable[[], bool]
    is_fulfilled: Callable[[], bool]


class Caller:
    """Asks the API for things."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> Any:
        """Ask once, and return what the answer says; None if the connection breaks, "gone" if it says so."""
        headers = {"Idempotency-Key": key} if key else {}
        try:
            answer = httpx2.request(method, f"{self._trial.fleet.url}{path}", json=body, headers=headers, timeout=30)
        except httpx2.TransportError:
            return None
        assert answer.is_success or answer.status_code == 404, answer.text
        return answer.json() if answer.is_success else "gone"

    def submit(self, wanted: Ask) -> bool:
        """Submit a prompt once, for the record."""
        with httpx2.Client(base_url=self._trial.fleet.url) as connection:
            done = submit(connection, "caller", wanted)
        self._trial.submissions.append(done)
        return done.is_kept

    def waiting_job(self, session: str) -> str:
        """Have a prompt kept whose time is to come; returns its job."""
        prompt = {"parts": [{"type": "text", "text": "later"}], "notBefore": LATER}
        answer = httpx2.post(f"{self._trial.fleet.url}/session/{session}/prompt_async", json=prompt)
        return answer.headers["location"].removeprefix("/job/")

    def jobs(self, session: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", f"/job?sessionID={session}")
        return found


def create(caller: Caller, session: str) -> Wish:
    return Wish(
        lambda: bool(caller.ask("POST", "/session", {"id": session, "title": "wanted"})),
        lambda: caller.ask("GET", f"/session/{session}")["title"] == "wanted",
    )


def update(caller: Caller, session: str) -> Wish:
    assert caller.ask("POST", "/session", {"id": session, "title": "at first"})
    return Wish(
        lambda: bool(caller.ask("PATCH", f"/session/{session}", {"title": "later"})),
        lambda: caller.ask("GET", f"/session/{session}")["title"] == "later",
    )


def delete(caller: Caller, session: str) -> Wish:
    assert caller.ask("POST", "/session", {"id": session})
    return Wish(
        lambda: bool(caller.ask("DELETE", f"/session/{session}")),
        lambda: bool(caller.ask("GET", f"/session/{session}") == "gone"),
    )


def fork(caller: Caller, session: str) -> Wish:
    assert caller.ask("POST", f"/session/{session}/message", {"parts": [{"type": "text", "text": "to be copied"}]})
    copy = f"{session}_copy"
    return Wish(
        lambda: bool(caller.ask("POST", f"/session/{session}/fork", {"id": copy})),
        lambda: len(caller.ask("GET", f"/session/{copy}/message")) == 2,
    )


def admit(caller: Caller, session: str) -> Wish:
    wanted = Ask(session, 1, f"key of {session}", by_message_id=False, waits=False)
    return Wish(lambda: caller.submit(wanted), lambda: len(caller.jobs(session)) == 1)


def cancel(caller: Caller, session: str) -> Wish:
    job = caller.waiting_job(session)
    return Wish(
        lambda: bool(caller.ask("POST", f"/job/{job}/cancel")),
        lambda: [each["state"] for each in caller.jobs(session)] == ["cancelled"],
    )


def abort(caller: Caller, session: str) -> Wish:
    caller.waiting_job(session)
    return Wish(
        lambda: bool(caller.ask("POST", f"/session/{session}/abort")),
        lambda: [each["state"] for each in caller.jobs(session)] == ["cancelled"],
    )


def retry(caller: Caller, session: str) -> Wish:
    job = caller.waiting_job(session)
    assert caller.ask("POST", f"/job/{job}/cancel")
    return Wish(
        lambda: bool(caller.ask("POST", f"/job/{job}/retry", key="once more")),
        lambda: (
            [(each["state"], each.get("retryOf")) for each in caller.jobs(session)]
            == [("succeeded", job), ("cancelled", None)]
        ),
    )


WISHES = {wish.__name__: wish for wish in (create, update, delete, fork, admit, cancel, abort, retry)}


def wish_at(point: str) -> Callable[[Caller, str], Wish]:
    """What makes the API pass a failpoint."""
    match point:
        case "bell.before_publish":
            return admit
        case "notices.before_publish":
            return cancel
        case _:
            return WISHES[point.rpartition(".")[2]]
