"""The assistant message that ends a turn: every terminal job has exactly one."""

from __future__ import annotations

from typing import Any

from domain.clock import Millis
from domain.ids import new_message_id
from domain.jobs import AttemptEnd, Failure, Job, State
from domain.messages import Message, Role, Usage
from domain.sessions import Session

DEFAULT_AGENT = "build"
"""The agent of prompts and sessions that name none: OpenCode's own default."""


def answer_of(session: Session, job: Job, end: AttemptEnd | None, now: Millis) -> Message:
    """Make the assistant message of a job that has just ended.

    Args:
        session: the job's session.
        job: the job, in its terminal state.
        end: what its latest attempt left, whole or partial; None if there is nothing.
        now: when it ended.
    """
    detail: dict[str, Any] = {
        "parentID": job.message_id,
        "model": job.model,
        "agent": job.agent,
        "path": session.directory,
        "completed": now,
    }
    if end is not None:
        if end.usage is not None:
            detail["tokens"] = tokens(end.usage)
        if end.cost is not None:
            detail["cost"] = end.cost
        if end.finish is not None:
            detail["finish"] = end.finish
    if job.state is not State.SUCCEEDED:
        detail["error"] = error_of(job.state, job.failure)
    return Message(
        tenant=job.tenant,
        session_id=job.session_id,
        incarnation=job.incarnation,
        seq=job.seq,
        role=Role.ASSISTANT,
        id=job.assistant_id or new_message_id(),
        created=job.attempt_started or now,
        parts=tuple(end.parts) if end is not None else (),
        detail=detail,
        job_id=job.id,
        failed=job.state is not State.SUCCEEDED,
    )


def unfinished_answer(session: Session, job: Job) -> Message:
    """Make the assistant message of an attempt that has just begun, as those who watch are shown it. It is not kept."""
    return Message(
        tenant=job.tenant,
        session_id=job.session_id,
        incarnation=job.incarnation,
        seq=job.seq,
        role=Role.ASSISTANT,
        id=job.assistant_id or "",
        created=job.attempt_started or job.created,
        parts=(),
        detail={"parentID": job.message_id, "model": job.model, "agent": job.agent, "path": session.directory},
        job_id=job.id,
    )


def tokens(usage: Usage) -> dict[str, Any]:
    """Write token counts in OpenCode's shape."""
    return {
        "input": usage.input,
        "output": usage.output,
        "reasoning": usage.reasoning,
        "cache": {"read": usage.cache_read, "write": usage.cache_write},
    }


def error_of(state: State, failure: Failure | None) -> dict[str, Any]:
    """Write why a turn has no answer, in one of the error shapes that OpenCode's document knows."""
    message = failure.message if failure is not None else f"the prompt is {state}"
    if state is State.CANCELLED:
        return {"name": "MessageAbortedError", "data": {"message": message}}
    if failure is not None and failure.from_provider:
        data: dict[str, Any] = {"message": message, "isRetryable": False}
        if failure.status is not None:
            data["statusCode"] = failure.status
        return {"name": "APIError", "data": data}
    return {"name": "UnknownError", "data": {"message": message}}
