"""What goes wrong with a prompt that somebody waits for."""

from __future__ import annotations

from typing import Any

from api.openai.refusals import refusal
from domain.errors import PromptqError
from domain.jobs import Job, State

_STATUSES = {State.CANCELLED: 409, State.EXPIRED: 408}


class PromptFailed(PromptqError):
    """A prompt has ended without an answer."""

    def __init__(self, job: Job, why: str | None = None) -> None:
        failure = job.failure
        super().__init__(why or (failure.message if failure and failure.message else f"the prompt is {job.state}"))
        self.code = failure.code if failure is not None else str(job.state)
        self.status = _STATUSES.get(job.state, 500)
        if failure is not None and failure.from_provider and failure.status is not None and failure.status >= 400:  # noqa: PLR2004
            self.status = failure.status

    @staticmethod
    def described(error: PromptqError) -> dict[str, Any]:
        """Write an error that comes in the middle of a stream."""
        if not isinstance(error, PromptFailed):
            return refusal(error, 500)
        return error.shape()

    def shape(self) -> dict[str, Any]:
        """Write it as OpenAI does."""
        shape = refusal(str(self), self.status)
        shape["error"]["code"] = self.code
        return shape
