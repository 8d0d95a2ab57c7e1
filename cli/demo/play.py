"""The demo from beginning to end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from cli.demo import checks, prompts
from cli.demo.board import Board, code
from cli.demo.stack import WORKERS, Stack
from cli.exits import CommandError, Interrupted
from cli.moments import span
from domain.clock import system_clock

if TYPE_CHECKING:
    from cli.client import Client, Json
    from cli.demo.prompts import Line

_LOOK_EVERY_S = 0.08

_ALL_ANSWERED_WITHIN_S = 60.0

_DELAYS_S = (0.6, 0.9, 0.7, 1.0, 0.8)
"""How long the echo model thinks, in turn: long enough that a killed worker always holds something."""

_KILL_AFTER = 1 / 4
"""The share of the prompts that is answered before a worker is killed."""

_FRESH_MS = 350
"""An attempt is surely in the middle of its work while it is younger than this: shorter than any delay."""

_FEWEST_HELD = 2
"""A worker is killed while it is in the middle of at least so many prompts."""


def play() -> None:
    """Show it all, check it all, and leave nothing behind.

    Raises:
        CommandError: something is not as it must be, or Ctrl-C.
    """
    lines = prompts.read()
    board = Board(lines)
    with _interruptible():
        stack = Stack()
        try:
            complaints = _play(lines, board, stack)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; everything that the demo started is stopped and removed.") from None
        finally:
            with _undisturbed(), ExitStack() as last:
                last.callback(stack.remove)  # also where nobody reads what is said any more
                board.say("[dim]Stopping everything …[/]")
    board.say(f"[dim]Stopped, and removed {stack.directory}[/]")
    if complaints:
        for complaint in complaints:
            board.say(f"[bold red]wrong:[/] {complaint}")
        raise CommandError("the demo found what must not be; it is listed above.")
    board.say("[bold green]Every answer is there, once, in order.[/]")


def _play(lines: Sequence[Line], board: Board, stack: Stack) -> list[str]:
    """Play it, and return what was wrong."""
    from cli.client import Client

    sessions = len(prompts.by_session(lines))
    board.say(f"[dim]Starting a promptq of its own in {stack.directory} …[/]")
    up = stack.start()
    board.say(f"API {code(up.url)}" + (f", Flower {code(up.flower)}" if up.flower else "") + f", {WORKERS} workers")
    board.say(f"{code(len(lines))} prompts for {code(sessions)} sessions that do not exist yet.")
    board.say("The model is echo/echo: offline, it repeats the prompt after a short wait.\n")
    with Client(stack.address(up)) as client:
        with board.live():
            accepted = _post(client, lines)
            jobs = _watch(client, board, stack, len(lines))
        messages = {session: client.messages(session) for session in prompts.by_session(lines)}
        board.say("")
        board.table({_name(job): job for job in jobs}, messages)
        board.say("")
        complaints = checks.order(jobs) + checks.once(accepted, jobs) + checks.answers(lines, messages)
        if not any(job["attempt"] > 1 for job in jobs):
            complaints.append("the killed worker's prompts show no second attempt")
        return complaints or _post_again(client, board, lines, accepted, jobs, messages)


def _post(client: Client, lines: Sequence[Line]) -> list[str | None]:
    """Hand in all prompts, in the file's order; returns their jobs."""
    delays = (_DELAYS_S[number % len(_DELAYS_S)] for number in range(len(lines)))
    return [
        client.prompt(line.session, line.body(delay_s=delay)).job_id for line, delay in zip(lines, delays, strict=True)
    ]


def _watch(client: Client, board: Board, stack: Stack, total: int) -> list[Json]:
    """Follow the jobs until all have ended; kill a worker on the way.

    Raises:
        CommandError: they have not ended in time.
    """
    give_up_at = time.monotonic() + _ALL_ANSWERED_WITHIN_S
    loss: _Loss | None = None
    while True:
        jobs = client.jobs(limit=total + 1)
        board.show({_name(job): job for job in jobs})
        answered = sum(job["state"] == "succeeded" for job in jobs)
        if answered == total:
            return jobs
        if loss is not None:
            loss.follow(jobs, board, stack)
            loss = None if loss.is_no_loss(jobs) else loss
        elif answered >= total * _KILL_AFTER:
            loss = _kill_one(jobs, board, stack)
        if time.monotonic() > give_up_at or any(job["state"] in ("failed", "cancelled", "expired") for job in jobs):
            raise CommandError(f"only {answered} of {total} prompts were answered; that must not be.")
        time.sleep(_LOOK_EVERY_S)


class _Loss:
    """What became of a worker that was killed, and of what it ran; each is said once."""

    def __init__(self, worker: str, pid: int, held: set[str]) -> None:
        self._worker = worker
        self._pid = pid
        self._held = held
        self._at = time.monotonic()
        self._is_back = False
        self._taken_over = False

    def is_no_loss(self, jobs: Sequence[Json]) -> bool:
        """Tell whether all that it ran was answered in the moment before it was killed: then it was killed in vain."""
        mine = [job for job in jobs if job["id"] in self._held]
        return all(job["state"] == "succeeded" and job["attempt"] == 1 for job in mine)

    def follow(self, jobs: Sequence[Json], board: Board, stack: Stack) -> None:
        after = f"after {time.monotonic() - self._at:.1f} s"
        pid = stack.children().get(self._worker)
        if not self._is_back and pid not in (None, self._pid):
            self._is_back = True
            board.say(f"[green]{self._worker} was started again[/] {after} (pid {pid})")
        lost = [job for job in jobs if job["id"] in self._held and job["attempt"] > 1]
        if not self._taken_over and len(lost) == len(self._held):
            self._taken_over = True
            board.say(f"[green]What it ran was taken over[/] {after}, when its leases had run out: attempt 2")


def _kill_one(jobs: Sequence[Json], board: Board, stack: Stack) -> _Loss | None:
    """Kill the worker that is in the middle of most prompts, unless none is right now."""
    now = system_clock()
    held: dict[str, set[str]] = {}
    for job in jobs:
        attempt = job["attempts"][-1] if job["state"] == "running" else None
        if attempt is not None and now - attempt["started"] < _FRESH_MS:
            held.setdefault(attempt["worker"], set()).add(job["id"])
    children = stack.children()
    for worker, ids in sorted(held.items(), key=lambda item: -len(item[1])):
        for name, pid in children.items():
            # A worker's ID is its host, its process number and a random number, with colons between.
            if len(ids) >= _FEWEST_HELD and worker.split(":")[-2:-1] == [str(pid)]:
                stack.kill(pid)
                running = sum(job["state"] == "running" and job["attempts"][-1]["worker"] == worker for job in jobs)
                board.say(
                    f"[bold red]Killed {name}[/] on purpose (SIGKILL, pid {pid}) while it ran {code(running)} prompts"
                )
                return _Loss(name, pid, ids)
    return None


def _post_again(
    client: Client,
    board: Board,
    lines: Sequence[Line],
    accepted: Sequence[str | None],
    jobs: list[Json],
    messages: dict[str, list[Json]],
) -> list[str]:
    """Hand in the same prompts under the same names, and return what changed by it: nothing must."""
    board.say(f"The same {code(len(lines))} prompts again, under the same message IDs …")
    began = time.monotonic()
    repeated = _post(client, lines)
    took = span(round((time.monotonic() - began) * 1000))
    known = sum(before == now for before, now in zip(accepted, repeated, strict=True))
    jobs_now = client.jobs(limit=len(lines) + 100)
    messages_now = {session: client.messages(session) for session in messages}
    board.say(f"{code(known)} of {code(len(lines))} were known and got the job that they had, in {took}.")
    board.say(
        f"New jobs: {code(len(jobs_now) - len(jobs))}, new attempts: {code(_attempts(jobs_now) - _attempts(jobs))}."
    )
    complaints = checks.unchanged((jobs, messages), (jobs_now, messages_now))
    if known != len(lines):
        complaints.append(f"{len(lines) - known} prompts got another job the second time")
    return complaints


def _attempts(jobs: Sequence[Json]) -> int:
    return sum(job["attempt"] for job in jobs)


def _name(job: Json) -> str:
    return f"{job['sessionID']}/{job['messageID']}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo as Ctrl-C does: in order."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Cleaning up ends by itself within seconds; a second Ctrl-C must not leave half of it."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
