"""What a run was asked for, and which of it goes together. No request has been made yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.called import typed
from cli.exits import UsageError
from domain.errors import InvalidRequest
from domain.ids import EPHEMERAL_PREFIX, check_session_id, is_ephemeral


@dataclass(frozen=True)
class Wishes:
    """The words of a command line, read and checked by `check`."""

    words: Sequence[str] = ()
    #: Create it, or resume it.
    session: str | None = None
    #: Create it; it must not be there.
    session_id: str | None = None
    #: Resume the session that was used last.
    goes_on: bool = False
    #: Leave that one as it is, and go on in a copy.
    forks: bool = False
    shares: bool = False
    #: The session ends with the run.
    ephemeral: bool = False
    title: str | None = None
    model: str | None = None
    agent: str | None = None
    files: Sequence[Path] = ()


def check(wishes: Wishes) -> None:
    """Refuse what contradicts itself.

    Raises:
        UsageError: in one sentence, what.
    """
    for is_wrong, sentence in (*_of_ephemeral(wishes), *_of_sessions(wishes)):
        if is_wrong:
            raise UsageError(sentence)
    for option, session_id in (("--session", wishes.session), ("--session-id", wishes.session_id)):
        if session_id is not None:
            _check_id(option, session_id)
    if wishes.model is not None:
        model_of(wishes.model)


def _of_ephemeral(wishes: Wishes) -> Iterator[tuple[bool, str]]:
    others = {
        "--continue": wishes.goes_on,
        "--session": wishes.session is not None,
        "--fork": wishes.forks,
        "--share": wishes.shares,
    }
    for option, is_given in others.items():
        yield (
            wishes.ephemeral and is_given,
            f"--ephemeral and {option} contradict each other: such a session begins and ends with its run.",
        )
    yield (
        wishes.ephemeral and wishes.session_id is not None and not is_ephemeral(wishes.session_id),
        f"--session-id: the ID of an ephemeral session starts '{EPHEMERAL_PREFIX}'.",
    )


def _of_sessions(wishes: Wishes) -> Iterator[tuple[bool, str]]:
    takes = wishes.goes_on or wishes.session is not None
    yield wishes.shares, "--share: promptq publishes nothing; leave it out."
    yield (
        wishes.goes_on and wishes.session is not None,
        "--continue and --session each name the session to go on in; give one of them.",
    )
    yield (
        wishes.forks and not takes,
        "--fork goes on in a copy of a session; say of which, with --continue or --session.",
    )
    yield (
        wishes.session_id is not None and takes and not wishes.forks,
        "--session-id makes a new session, and --continue and --session take one that is there.",
    )
    yield (
        wishes.title is not None and wishes.goes_on and not wishes.forks,
        "--title is for a new session, and --continue takes one that is there.",
    )


def model_of(name: str) -> dict[str, str]:
    """Read `provider/model`.

    Raises:
        UsageError: it is none.
    """
    provider, slash, model = name.partition("/")
    if not (provider and slash and model):
        raise UsageError(f"--model is PROVIDER/MODEL, such as echo/echo, and not {name!r}.")
    return {"providerID": provider, "modelID": model}


def _check_id(option: str, session_id: str) -> None:
    try:
        check_session_id(session_id, field=option)
    except InvalidRequest as error:
        computes = typed("session id NAMESPACE KEY=VALUE")
        raise UsageError(f"{error}; {computes} computes one.") from error
