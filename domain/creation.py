"""How sessions come to be: asked for, implied by a prompt, or forked from another."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from domain.clock import Millis
from domain.errors import SessionDiffers, SessionExists
from domain.ids import new_incarnation, new_message_id, new_part_id
from domain.lifecycle import Change
from domain.messages import Message, Role, Turn
from domain.prompts import Prompt
from domain.sameness import differing_fields
from domain.sessions import Creation, Session


def implied(session_id: str, prompt: Prompt) -> Creation:
    """Say how a prompt makes its session if that is missing: as nobody has given parameters of one yet."""
    return Creation(session_id, directory=prompt.directory, workspace_id=prompt.workspace_id, ttl_ms=prompt.ttl_ms)


def new_session(tenant: str, creation: Creation, now: Millis) -> Session:
    """Make a session that nothing has been said in."""
    title = creation.title
    if title is None:
        moment = datetime.fromtimestamp(now / 1000, UTC).isoformat(timespec="milliseconds")
        title = f"New session - {moment.replace('+00:00', 'Z')}"
    return Session(
        tenant=tenant,
        id=creation.session_id,
        incarnation=new_incarnation(),
        title=title,
        directory=creation.directory,
        created=now,
        updated=now,
        parent_id=creation.parent_id,
        workspace_id=creation.workspace_id,
        agent=creation.agent,
        model=creation.model,
        variant=creation.variant,
        metadata=creation.metadata,
        permission=creation.permission,
        on_failure=creation.on_failure,
        ttl_ms=creation.ttl_ms,
        created_with=creation.given,
    )


def repeat(session: Session, creation: Creation) -> Session:
    """Answer a creation of a session that is there.

    One that a prompt made takes the parameters of the first `POST /session` after it; otherwise the parameters that
    both sides gave must be the same. Returns the same object if nothing is to be changed.

    Raises:
        SessionExists: the caller asked for a new one.
        SessionDiffers: it was made with other parameters.
    """
    if creation.if_exists == "error":
        raise SessionExists(session.id)
    fields = differing_fields(session, creation)
    if fields:
        raise SessionDiffers(session.id, fields)
    if session.created_with is not None or creation.given is None:
        return session
    taken = {name: value for name in _TAKEN if (value := getattr(creation, name)) is not None}
    return session.evolve(created_with=creation.given, on_failure=creation.on_failure, **taken)


_TAKEN = ("title", "parent_id", "workspace_id", "agent", "model", "variant", "metadata", "permission", "ttl_ms")
"""What a session that a prompt made takes, if it is given; else what it has by now (a title, metadata) stays."""


def repeat_fork(session: Session, creation: Creation) -> Session:
    """Answer a fork to an ID that is taken: by the same fork, or by something else.

    `given["fork"]` names the source and the message of a fork. Other than the parameters of a creation it must be the
    same on both sides even if one gave none, so that a session that is no fork does not pass for one.

    Raises:
        SessionExists: the caller asked for a new one.
        SessionDiffers: it is no fork, or another.
    """
    if (session.created_with or {}).get("fork") != (creation.given or {}).get("fork"):
        raise SessionDiffers(session.id, ["fork"])
    return repeat(session, creation)


def fork(tenant: str, source: Session, creation: Creation, turns: Iterable[Turn], now: Millis) -> Change:
    """Make a session that begins with another's committed turns, in order, under new message and part IDs.

    The copies have no jobs and no idempotency keys: they are history, not prompts.
    """
    settings = creation.evolve(
        title=creation.title if creation.title is not None else f"{source.title} (fork)",
        directory=source.directory,
        workspace_id=source.workspace_id,
        agent=source.agent,
        model=source.model,
        variant=source.variant,
        metadata=source.metadata,
        permission=source.permission,
        on_failure=source.on_failure,
    )
    session = new_session(tenant, settings, now)
    copies: list[Message] = []
    for seq, turn in enumerate(turns, start=1):
        prompt = _copy(turn.prompt, session, seq)
        copies.append(prompt)
        if turn.answer is not None:
            answer = _copy(turn.answer, session, seq)
            copies.append(answer.evolve(detail={**answer.detail, "parentID": prompt.id}))
    return Change(session.evolve(seq=copies[-1].seq if copies else 0), (), tuple(copies))


def committed_turns(messages: Iterable[Message]) -> list[Turn]:
    """Pick from a session's messages (ordered) the turns that a model is shown: answered ones, and `noReply` ones.

    Turns that failed, were cancelled or expired, and turns still open, are left out.
    """
    turns: list[Turn] = []
    prompt: Message | None = None
    for message in messages:
        if message.role is Role.USER:
            prompt = message
            if message.job_id is None:
                turns.append(Turn(message, None))
        elif prompt is not None and prompt.seq == message.seq and not message.failed:
            if turns and turns[-1].prompt is prompt:
                turns.pop()
            turns.append(Turn(prompt, message))
    return turns


def _copy(message: Message, session: Session, seq: int) -> Message:
    return message.evolve(
        tenant=session.tenant,
        session_id=session.id,
        incarnation=session.incarnation,
        seq=seq,
        id=new_message_id(),
        parts=tuple({**part, "id": new_part_id()} for part in message.parts),
        job_id=None,
        content_hash=None,
        idempotency_key=None,
        job_state=None,
    )
