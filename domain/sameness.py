"""What makes two calls the same: the caller's names are the idempotency keys, and this is how content is compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from domain.answers import DEFAULT_AGENT
from domain.errors import PromptDiffers
from domain.jobs import Job
from domain.messages import Message, Role
from domain.prompts import Prompt
from domain.sessions import Creation, Session


def content_hash(content: Mapping[str, Any]) -> str:
    """Hash a prompt's content: SHA-256 (hex) over its JSON with sorted keys and no white space.

    The caller passes the whole body with defaults filled in, but without `ifMissing`, `whenBusy`, part IDs, `messageID`
    (it is the key itself), and `model` and `agent` (whose defaults can change; `same_prompt` compares them).
    """
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def same_prompt(kept: Message, prompt: Prompt, session: Session, *, default_model: str) -> bool:
    """Tell whether a prompt repeats a kept message.

    A model or agent that was not given stands for the default: it is the same as that default given by name, and the
    same as not given, even if the default has changed in between. The retry of a job is repeated only by a retry of
    that job, though its content is that of the first prompt and of other retries.
    """
    if kept.role is not Role.USER or kept.content_hash is None or kept.content_hash != prompt.content_hash:
        return False
    if prompt.no_reply != (kept.job_id is None):
        return False
    given = kept.detail.get("given", {})
    if prompt.retry_of is not None and prompt.retry_of != given.get("retryOf"):
        return False
    model_now = prompt.model or session.model or default_model
    if prompt.model != given.get("model") and model_now != kept.detail.get("model"):
        return False
    agent = (prompt.detail or {}).get("agent")
    return agent == given.get("agent") or (agent or session.agent or DEFAULT_AGENT) == kept.detail.get("agent")


def refuse_answers_name(prompt: Prompt, head: Job | None) -> None:
    """Refuse the ID of the answer that is under way in the session: callers can see it before a message has it.

    Args:
        prompt: one whose key names no message of the session.
        head: the session's head.

    Raises:
        PromptDiffers: its `messageID` is the answer's.
    """
    if prompt.message_id is not None and head is not None and head.assistant_id == prompt.message_id:
        raise PromptDiffers(prompt.message_id, "messageID")


def differing_fields(session: Session, creation: Creation) -> list[str]:
    """List the creation parameters, by their API names and sorted, that both sides gave and that differ."""
    kept, given = session.created_with, creation.given
    if kept is None or given is None:
        return []
    return sorted(name for name in kept.keys() & given.keys() if _canonical(kept[name]) != _canonical(given[name]))


def _canonical(value: object) -> str:
    """Write JSON so that equal values, and only they, give equal texts: Python itself holds that `1 == True`."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
