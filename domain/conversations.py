"""Conversations that are handed in whole: a one-off's messages, the last of which is its prompt.

A session remembers what was said in it; a one-off has no session, so what was said before its prompt is kept with the
prompt (`detail["before"]`), and a model is shown it as the turns that they would have been.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from domain.errors import InvalidRequest
from domain.messages import Message, Part, Role, Turn


class Said(NamedTuple):
    """A message of such a conversation."""

    #: `system`, `developer`, `user` or `assistant`.
    role: str
    parts: tuple[Part, ...]


def before_of(conversation: Sequence[Said]) -> tuple[str, Sequence[Said], Said]:
    """Take a conversation apart: its system prompt, what was said before, and its last message, which is the prompt.

    Raises:
        InvalidRequest: it does not begin with the user (after system messages), or does not end with them.
    """
    start = 0
    while start < len(conversation) and conversation[start].role in _SYSTEM:
        start += 1
    for number, said in enumerate(conversation[start:], start=start):
        if said.role in _SYSTEM:
            raise _refused(number, "a system message must stand before all others")
    if start == len(conversation) or conversation[start].role != "user":
        raise _refused(
            min(start, len(conversation) - 1), "the first message but for system messages must be the user's"
        )
    if conversation[-1].role != "user":
        raise _refused(len(conversation) - 1, "the last message must be the user's")
    system = "\n\n".join(
        str(part.get("text", "")) for said in conversation[:start] for part in said.parts if part["type"] == "text"
    )
    return system, conversation[start:-1], conversation[-1]


_SYSTEM = ("system", "developer")


def _refused(number: int, why: str) -> InvalidRequest:
    return InvalidRequest(f"messages.{number}: {why}", field=f"messages.{number}.role")


def turns_before(prompt: Message) -> list[Turn]:
    """Return what was said before a one-off's prompt, as committed turns."""
    turns: list[Turn] = []
    for number, said in enumerate(prompt.detail.get("before", ())):
        is_user = said["role"] == "user"
        message = prompt.evolve(
            id=f"{prompt.id}_{number}",
            role=Role.USER if is_user else Role.ASSISTANT,
            parts=tuple({"id": f"prt_{number}_{place}", **part} for place, part in enumerate(said["parts"])),
            detail={"agent": prompt.detail["agent"], "model": prompt.detail["model"]},
            job_id=None,
        )
        if is_user:
            turns.append(Turn(message, None))
        elif turns[-1].answer is None:
            turns[-1] = turns[-1].evolve(answer=message)
        else:
            answer = turns[-1].answer
            turns[-1] = turns[-1].evolve(answer=answer.evolve(parts=(*answer.parts, *message.parts)))
    return turns
