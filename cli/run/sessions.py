"""The session of a run: made, resumed or copied before the prompt is handed in; and, if it is the run's own, ended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from cli.client import Client
from cli.exits import CommandError, Missing, Refused
from cli.run.wishes import Wishes
from domain.ids import new_session_id

EPHEMERAL_TTL_S = 60
"""How long the session of an ephemeral run outlives its prompt if the run could not end it: it was killed, say."""

_LONGEST_TITLE = 50
_CONFLICT = 409
_END_PATIENCE_S = 3.0


@dataclass
class RunSession:
    """The session of a run."""

    client: Client
    id: str = ""
    #: Whether this run has made it, and nobody else has named it before.
    is_made: bool = False
    #: Whether it ends with the run.
    is_ephemeral: bool = False

    def open(self, wishes: Wishes, text: str) -> None:
        """Make it, or find it.

        Args:
            wishes: which session, and how.
            text: of the prompt; a new session that nobody named is titled by it.

        Raises:
            CommandError: there is no such session, or one that should not be there.
        """
        if wishes.forks:
            self.id, self.is_made = _fork(self.client, wishes), True
        elif wishes.goes_on:
            self.id = _latest(self.client)
        elif wishes.session is not None:
            given = {"title": wishes.title} if wishes.title is not None else {}
            self.id = str(self.client.create_session({"id": wishes.session, **given})["id"])
        else:
            self._make(wishes, wishes.title if wishes.title is not None else _title_of(text))

    def end(self) -> None:
        """End it and whatever it does. If the server is away, an ephemeral one ends by itself, within its TTL."""
        if self.is_made:
            with suppress(CommandError):
                self.client.delete_session(self.id, patience_s=_END_PATIENCE_S)

    def _make(self, wishes: Wishes, title: str) -> None:
        self.is_ephemeral = wishes.ephemeral
        creation = {"ttl": EPHEMERAL_TTL_S} if wishes.ephemeral else {"title": title}
        if wishes.session_id is None:
            self.id = new_session_id(ephemeral=wishes.ephemeral)
            self.is_made = True  # even if the answer is lost: nobody else has this name
            self.client.create_session({"id": self.id, **creation})
            return
        self.id = wishes.session_id
        try:
            self.client.create_new_session({"id": self.id, **creation})
        except Refused as error:
            if error.status != _CONFLICT:
                raise
            raise Refused(
                f"there is a session {self.id} already; --session {self.id} resumes it.", status=_CONFLICT
            ) from error
        self.is_made = True


def _latest(client: Client) -> str:
    found = client.sessions(limit=1, roots=True)
    if not found:
        raise CommandError(
            f"there is no session to go on in at {client.server.url}; leave --continue out to begin one."
        )
    return str(found[0]["id"])


def _fork(client: Client, wishes: Wishes) -> str:
    source = wishes.session if wishes.session is not None else _latest(client)
    if wishes.session_id is not None and _exists(client, wishes.session_id):
        raise Refused(f"there is a session {wishes.session_id} already; give the copy another ID.", status=_CONFLICT)
    made = client.fork_session(source, new_id=wishes.session_id or new_session_id())
    if wishes.title is not None:
        client.update_session(made["id"], {"title": wishes.title})
    return str(made["id"])


def _exists(client: Client, session_id: str) -> bool:
    try:
        client.session(session_id)
    except Missing:
        return False
    return True


def _title_of(text: str) -> str:
    """Title a session by the first words of its first prompt, as OpenCode does."""
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST_TITLE else f"{words[:_LONGEST_TITLE]}…"
