"""Tells a worker, on whatever machine it is, to finish what it has and end: `python -m tasks.drain NAME [SECONDS]`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from kombu.exceptions import KombuError

from domain.settings import Settings
from tasks.app import PromptqApp, make_celery
from tasks.broker import NO_BROKER
from tasks.draining import COMMAND

ANSWER_S = 2.0
"""How long workers have to answer."""


class NotDrained(Exception):
    """Nobody drains. Says why, in a sentence."""


def drain(app: PromptqApp, name: str, grace_s: float | None = None) -> tuple[str, Mapping[str, Any]]:
    """Have a worker drain; returns its whole name, and what it answers (`running`, `grace` in seconds).

    Raises:
        NotDrained: there is no such worker, or more than one, or none can be reached.
    """
    if app.conf.broker_url == NO_BROKER:
        raise NotDrained("there is no broker over which workers could be told; send the worker's process SIGTERM")
    try:
        whole = _whole_name(app, name)
        arguments: dict[str, float] = {} if grace_s is None else {"grace": grace_s}
        answers = app.control.broadcast(COMMAND, arguments, destination=[whole], reply=True, timeout=ANSWER_S, limit=1)
    except (KombuError, OSError) as error:
        raise NotDrained(f"the broker does not answer: {type(error).__name__}") from error
    for answer in answers or ():
        if "ok" in answer.get(whole, {}):
            return whole, answer[whole]["ok"]
    raise NotDrained(f"{whole} did not answer within {ANSWER_S:g} s")


def _whole_name(app: PromptqApp, name: str) -> str:
    """Return `NAME@HOST` of the one worker that is called so."""
    found: list[str] = sorted(worker for answer in app.control.ping(timeout=ANSWER_S) for worker in answer)
    matching = [worker for worker in found if name in (worker, worker.partition("@")[0])]
    match matching:
        case [whole]:
            return whole
        case []:
            there = f"; there are {', '.join(found)}" if found else ", nor does any other"
            raise NotDrained(f"no worker called {name} answers{there}")
    raise NotDrained(f"several workers are called {name}; choose among {', '.join(matching)}")


def main(arguments: Sequence[str]) -> int:
    """Do it, and say so."""
    name, *rest = arguments
    try:
        whole, answer = drain(make_celery(Settings()), name, float(rest[0]) if rest else None)
    except NotDrained as error:
        sys.stderr.write(f"promptq: {error}.\n")
        return 1
    running = answer["running"]
    what = f"finishes {running} running prompt{'' if running == 1 else 's'}" if running else "runs nothing"
    until = f", for {answer['grace']:g} s at most," if running else ""
    sys.stdout.write(f"{whole} claims no more, {what}{until} and ends.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
