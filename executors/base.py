"""The contract of an executor: what answers a prompt.

An executor is found by the entry-point group `promptq.executors`; its name there is the provider, the part of a model's
name before the slash. It is made once in each worker, with the settings, and answers many prompts at once on the
worker's event loop. It knows nothing of queues, leases, stores or Celery, and it repeats nothing by itself: what may be
tried again is a `TransientError`, and promptq decides when.

What `run` yields is an answer in order: any number of steps, each some text, reasoning and tool calls, then a
`StepFinish`. Only an answer whose last event is a `StepFinish` is whole; a stream that ends without one, or breaks off,
is never committed as an answer. When its task is cancelled (a caller's wish, the prompt's timeout, a lost lease, a
shutdown) it must let go within a few seconds and let the `CancelledError` pass; what it yielded so far is kept as a
partial answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from domain.errors import PromptqError
from domain.jobs import Job
from domain.messages import Message, Turn, Usage
from domain.record import Record
from domain.sessions import Session
from domain.settings import Settings

ENTRY_POINTS = "promptq.executors"


@dataclass(frozen=True)
class Request(Record):
    """One attempt at answering a prompt."""

    #: `job.id` and `job.attempt` name the attempt; `job.model` is what is to answer.
    job: Job
    prompt: Message
    session: Session
    #: Loads the committed turns before this prompt, in order. Ask only if the model is to be shown them.
    history: Callable[[], Awaitable[Sequence[Turn]]]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the caller attached to the prompt."""
        return self.prompt.detail.get("metadata") or {}


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool."""

    call_id: str
    tool: str
    input: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """A tool that was called has ended: with its output, or with an error."""

    call_id: str
    output: str = ""
    title: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class StepFinish:
    """The end of one call of the model."""

    #: In the provider's word: `stop`, `length`, `tool-calls`, …
    reason: str
    usage: Usage
    #: US dollars; None if unknown.
    cost: float | None = None


Event = TextDelta | ReasoningDelta | ToolCall | ToolResult | StepFinish


class ExecutionError(PromptqError):
    """An attempt failed, in a way that its executor understood."""

    def __init__(self, code: str, message: str, *, status: int | None = None, from_provider: bool = False) -> None:
        """Describe it.

        Args:
            code: a stable word, such as `rate_limited` or `model_unknown`.
            message: for the caller; it may hold the provider's words.
            status: the provider's HTTP status, if there was one.
            from_provider: whether the provider said no, and not promptq.
        """
        super().__init__(message)
        self.code = code
        self.status = status
        self.from_provider = from_provider


class TransientError(ExecutionError):
    """A repeat may succeed."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retry_after_s: float | None = None,
        status: int | None = None,
        from_provider: bool = False,
    ) -> None:
        super().__init__(code, message, status=status, from_provider=from_provider)
        #: How long the provider asked us to wait, from now.
        self.retry_after_s = retry_after_s


class PermanentError(ExecutionError):
    """A repeat would fail in the same way."""


class Executor(Protocol):
    """Answers prompts of one provider."""

    def run(self, request: Request) -> AsyncIterator[Event]:
        """Answer a prompt. An async generator; called many times at once.

        Raises:
            TransientError: this attempt failed, another may not.
            PermanentError: all attempts would fail.
        """

    async def aclose(self) -> None:
        """Let go of connections. Nothing is running any more."""


ExecutorFactory = Callable[[Settings], Executor]
"""What an entry point names. It is called in a thread, so it may import a large library."""
