"""The lines of a batch's output and error files, as OpenAI writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from domain.batches.batch import LineState
from domain.batches.lines import LineName
from domain.batches.reading import LineRefused
from domain.clock import Millis
from domain.ids import is_hidden
from domain.jobs import Failure, Job, State
from domain.messages import Message, Usage
from domain.record import Record
from domain.shapes import message_shape

_encoder = msgspec.json.Encoder()

_STATES = {
    State.SUCCEEDED: LineState.SUCCEEDED,
    State.FAILED: LineState.FAILED,
    State.CANCELLED: LineState.CANCELLED,
    State.EXPIRED: LineState.EXPIRED,
}
_FINISHES = {"stop": "stop", "length": "length", "tool-calls": "tool_calls", "content-filter": "content_filter"}

EXPIRED = Failure("batch_expired", "the batch's completion window was over before this line was done")
CANCELLED = Failure("batch_cancelled", "the batch was cancelled before this line was done")


@dataclass(frozen=True)
class Result(Record):
    """What has become of a line."""

    name: LineName
    state: LineState
    #: The line of the output or error file, without its end.
    text: str
    job_id: str | None = None
    usage: Usage | None = None
    cost: float | None = None

    @property
    def size(self) -> int:
        """Bytes in its file."""
        return len(self.text.encode()) + 1


def of_job(name: LineName, job: Job, answer: Message | None, *, batch_is_over: bool = False) -> Result:
    """Write the result of a line whose job has ended.

    Args:
        name: the line's.
        job: the job, in its terminal state.
        answer: its assistant message; None if it is gone.
        batch_is_over: whether the batch's window was over, which is why its open jobs were cancelled.
    """
    state = _STATES[job.state]
    failure = job.failure
    if state is LineState.CANCELLED and batch_is_over:
        state, failure = LineState.EXPIRED, EXPIRED
    more: dict[str, Any] = {"job_id": job.id, "usage": job.usage, "cost": job.cost}
    if state is LineState.SUCCEEDED and answer is not None:
        body = completion(job, answer) if is_hidden(job.session_id) else message_shape(answer)
        response = {"status_code": 200, "request_id": job.id, "body": body}
        return Result(name, state, _line(name, job.id, response, None), **more)
    if state is LineState.SUCCEEDED:
        state, failure = LineState.FAILED, Failure("answer_gone", "the prompt was answered, but its answer is gone")
    failure = failure or Failure(state.value, f"the prompt is {state}")
    return Result(name, state, _line(name, job.id, _refusal(job, failure), failure), **more)


def of_failure(name: LineName, state: LineState, failure: Failure, batch_id: str) -> Result:
    """Write the result of a line that never became a job."""
    return Result(name, state, _line(name, f"{batch_id}_{name.number}", None, failure))


def of_refusal(number: int, refusal: LineRefused, batch_id: str) -> Result:
    """Write the result of a line that cannot be run."""
    name = LineName(number, 0, refusal.custom_id or "")
    failure = Failure(refusal.code, str(refusal))
    return of_failure(name, LineState.FAILED, failure, batch_id)


def completion(job: Job, answer: Message) -> dict[str, Any]:
    """Write an answer as OpenAI's chat completion."""
    message = {"role": "assistant", "content": text_of(answer), "refusal": None}
    return {
        "id": completion_id(job.id),
        "object": "chat.completion",
        "created": seconds(job.created),
        "model": job.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(answer)}],
        "usage": completion_usage(job.usage or Usage()),
    }


def text_of(answer: Message) -> str:
    """Return what an answer says."""
    return "".join(str(part["text"]) for part in answer.parts if part["type"] == "text")


def finish_reason(answer: Message) -> str:
    """Return why an answer ends, in OpenAI's words."""
    return _FINISHES.get(str(answer.detail.get("finish", "stop")), "stop")


def completion_id(job_id: str) -> str:
    """Return what a job is called as a completion."""
    return "chatcmpl-" + job_id.removeprefix("job_")


def completion_usage(usage: Usage) -> dict[str, Any]:
    """Write token counts as OpenAI's chat completions do."""
    prompt = usage.input + usage.cache_read + usage.cache_write
    answered = usage.output + usage.reasoning
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answered,
        "total_tokens": prompt + answered,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def seconds(at: Millis) -> int:
    """Write a time as OpenAI does."""
    return at // 1000


def _refusal(job: Job, failure: Failure) -> dict[str, Any] | None:
    """Write what a model's provider answered instead, if it answered."""
    if not failure.from_provider or failure.status is None:
        return None
    error = {"message": failure.message, "type": "provider_error", "param": None, "code": failure.code}
    return {"status_code": failure.status, "request_id": job.id, "body": {"error": error}}


def _line(name: LineName, request: str, response: Any, failure: Failure | None) -> str:
    error = None
    if failure is not None:
        error = {"code": failure.code, "message": failure.message or failure.code.replace("_", " ")}
    custom_id = name.custom_id or None
    line = {"id": f"batch_req_{request}", "custom_id": custom_id, "response": response, "error": error}
    return _encoder.encode(line).decode()
