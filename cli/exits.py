"""How the client's commands end: exit codes, and errors that become one sentence on stderr.

Refusal                       exit 1, 2 or 130 by its attribute
└── CommandError              exit 1
    ├── UsageError            exit 2: what was asked is wrong in itself
    ├── ServerUnreachable     nobody answers at the address
    ├── PasswordRefused       the server wants a key or a password, or another one
    ├── Refused               the server said no (409, 429, 5xx …)
    │   ├── Invalid           exit 2: the request is wrong in itself (400, 413, 422)
    │   └── Missing           there is no such thing (404)
    ├── Unexpected            the answer is not promptq's
    ├── JobEnded              exit 1, 3 or 4: the job ended without an answer
    ├── WaitTimedOut          exit 5: the job goes on
    └── Interrupted           exit 130 or 143: Ctrl-C, or SIGTERM
"""

from __future__ import annotations

import signal
import sys
from enum import IntEnum

from cli.refusal import Refusal
from domain.jobs import State


class ExitCode(IntEnum):
    """The exit codes of every client command; `docs/cli.md` lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CANCELLED = 3
    EXPIRED = 4
    WAIT_TIMED_OUT = 5
    INTERRUPTED = 130
    TERMINATED = 143


_BY_STATE = {State.CANCELLED: ExitCode.CANCELLED, State.EXPIRED: ExitCode.EXPIRED}


class CommandError(Refusal):
    """Ends a command. Its text is one sentence for people: what was wrong, and what to do."""

    code = ExitCode.FAILED

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, exit_code=self.code)


class UsageError(CommandError):
    """What was asked is wrong in itself; the server was not asked."""

    code = ExitCode.USAGE


class ServerUnreachable(CommandError):
    """Nobody answers at the address."""


class PasswordRefused(CommandError):
    """The server wants a key or a password, or another one."""


class Refused(CommandError):
    """The server said no."""

    def __init__(self, sentence: str, *, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Invalid(Refused):
    """The server says that the request is wrong in itself."""

    code = ExitCode.USAGE


class Missing(Refused):
    """The server says that there is no such thing."""


class Unexpected(CommandError):
    """What answers is not promptq, or not this version of it."""


class JobEnded(CommandError):
    """The job ended without an answer."""

    def __init__(self, sentence: str, *, state: State) -> None:
        super().__init__(sentence)
        self.exit_code = _BY_STATE.get(state, ExitCode.FAILED)


class WaitTimedOut(CommandError):
    """The job had not ended in the time that the caller gave it; it goes on."""

    code = ExitCode.WAIT_TIMED_OUT


class Interrupted(CommandError):
    """Ctrl-C or SIGTERM, with what it means for the prompt."""

    code = ExitCode.INTERRUPTED

    def __init__(self, sentence: str, number: signal.Signals | None = None) -> None:
        """Say what it means; `number` is the signal, if it was not Ctrl-C's."""
        super().__init__(sentence)
        if number not in (None, signal.SIGINT):
            self.exit_code = ExitCode.TERMINATED


def remark(sentence: str) -> None:
    """Say something on stderr, under the command's name, and go on."""
    print(f"promptq: {sentence}", file=sys.stderr, flush=True)
