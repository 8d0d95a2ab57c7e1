"""A prompt as a caller sends it: OpenCode's fields and promptq's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from domain.clock import millis
from domain.errors import InvalidRequest
from domain.ids import is_ephemeral, new_part_id
from domain.messages import Part
from domain.models import Catalog
from domain.prompts import IfMissing, Prompt, WhenBusy
from domain.record import Record
from domain.requests.fields import Body, Count, Given, JsonObject, MessageId, Moment, Name
from domain.requests.parsing import check
from domain.requests.parts import InputPart, content_of
from domain.sameness import content_hash
from domain.sessions import PRIORITIES

LONGEST_TIMEOUT_S = 7 * 86_400
MOST_ATTEMPTS = 100

_JOB_FIELDS = ("priority", "notBefore", "expiresAt", "timeout", "maxAttempts")


@dataclass(frozen=True)
class Terms(Record):
    """What this server takes in prompts."""

    catalog: Catalog
    #: Whether the echo model obeys `metadata.echo`.
    echo_faults: bool = False


class EchoWishes(Body):
    """What the echo model is asked to do besides answering, for tests."""

    delay: Given[Annotated[float, Field(ge=0, le=LONGEST_TIMEOUT_S)]] = None
    fail: Given[Literal["transient", "permanent"]] = None
    failTimes: Given[Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)]] = None  # noqa: N815
    stall: Given[bool] = None


class PromptModel(Body):
    providerID: Name  # noqa: N815 - OpenCode's name
    modelID: Name  # noqa: N815 - OpenCode's name


class TextFormat(Body):
    type: Literal["text"]


class JsonFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonObject = Field(alias="schema")
    retryCount: Given[Count] = None  # noqa: N815 - OpenCode's name


Format = Annotated[TextFormat | JsonFormat, Field(discriminator="type")]


class PromptRequest(Body):
    """A user message that asks for an answer. Times are epoch milliseconds, `timeout` and `ttl` are seconds."""

    parts: Annotated[list[InputPart], Field(min_length=1)]
    messageID: Given[MessageId] = None  # noqa: N815 - as OpenCode writes names
    model: Given[PromptModel] = None
    #: How OpenCode's Python package still names the model.
    providerID: Given[Name] = None  # noqa: N815
    modelID: Given[Name] = None  # noqa: N815
    agent: Given[Name] = None
    noReply: bool = False  # noqa: N815
    tools: Given[dict[str, bool]] = None
    format: Given[Format] = None
    system: Given[str] = None
    variant: Given[Name] = None
    ifMissing: IfMissing = "create"  # noqa: N815
    ttl: Given[Annotated[int, Field(ge=1, le=604_800)]] = None
    priority: Annotated[int, Field(ge=0, lt=PRIORITIES)] = 5
    notBefore: Given[Moment] = None  # noqa: N815
    expiresAt: Given[Moment] = None  # noqa: N815
    timeout: Annotated[float, Field(ge=0.001, le=LONGEST_TIMEOUT_S)] = 600
    maxAttempts: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)] = 3  # noqa: N815
    whenBusy: WhenBusy = "queue"  # noqa: N815
    metadata: Given[JsonObject] = None

    def prompt(
        self,
        session_id: str,
        terms: Terms,
        *,
        idempotency_key: str | None = None,
        directory: str = "/",
        workspace: str | None = None,
    ) -> Prompt:
        """Make what a store admits.

        Args:
            session_id: the session that it is for.
            terms: what this server takes.
            idempotency_key: names the prompt if it has no `messageID`.
            directory: where the session is, if this prompt makes it.
            workspace: its workspace, if this prompt makes it.

        Raises:
            InvalidRequest: the fields do not fit each other, or ask for what this server does not have.
        """
        self.check(session_id, terms)
        wanted = self._wanted_model()
        model = terms.catalog.check(*wanted) if wanted is not None else None
        contents = [content_of(part) for part in self.parts]
        detail = self.model_dump(
            exclude_unset=True, include={"system", "tools", "format", "variant", "metadata", "agent"}
        )
        timeout_ms = millis(self.timeout)
        return Prompt(
            parts=self._named(contents),
            content_hash=content_hash(self._content(contents, detail, timeout_ms)),
            message_id=self.messageID,
            idempotency_key=idempotency_key,
            model=model,
            detail=detail,
            no_reply=self.noReply,
            priority=self.priority,
            max_attempts=self.maxAttempts,
            timeout_ms=timeout_ms,
            not_before=self.notBefore,
            expires_at=self.expiresAt,
            when_busy=self.whenBusy,
            if_missing=self.ifMissing,
            directory=directory,
            workspace_id=workspace,
            ttl_ms=millis(self.ttl) if self.ttl is not None else None,
        )

    def check(self, session_id: str, terms: Terms) -> None:
        """Check what the types do not say.

        Raises:
            InvalidRequest: the fields do not fit each other, or ask for what this server does not have.
        """
        if self.ttl is not None and not is_ephemeral(session_id):
            raise InvalidRequest("ttl: only ephemeral sessions have one, and this one is durable", field="ttl")
        if self.noReply:
            for name in _JOB_FIELDS:
                if name in self.model_fields_set:
                    raise InvalidRequest(f"{name}: a prompt with noReply has no job that it could be of", field=name)
        self._check_part_ids()
        if self.expiresAt is not None and self.notBefore is not None and self.expiresAt <= self.notBefore:
            raise InvalidRequest("expiresAt: must be later than notBefore", field="expiresAt")
        wanted = self._wanted_model()
        if wanted is not None:
            terms.catalog.check(*wanted)
        if self.metadata is not None and "echo" in self.metadata:
            if not terms.echo_faults:
                raise InvalidRequest(
                    "metadata.echo: is obeyed only by a server that runs with PROMPTQ_ECHO_FAULTS=1",
                    field="metadata.echo",
                )
            check(EchoWishes, self.metadata["echo"], place="metadata.echo")

    def _wanted_model(self) -> tuple[str, str] | None:
        """Return provider and model, however they are written.

        Raises:
            InvalidRequest: they are written half, or in both ways.
        """
        if self.providerID is None and self.modelID is None:
            return (self.model.providerID, self.model.modelID) if self.model is not None else None
        if self.model is not None:
            raise InvalidRequest("model: providerID and modelID say it already", field="model")
        if self.providerID is None or self.modelID is None:
            missing = "providerID" if self.providerID is None else "modelID"
            raise InvalidRequest(f"{missing}: is required where the other one is given", field=missing)
        return self.providerID, self.modelID

    def _check_part_ids(self) -> None:
        seen: set[str] = set()
        for number, part in enumerate(self.parts):
            if part.id is not None:
                if part.id in seen:
                    raise InvalidRequest(f"parts.{number}.id: another part has it", field=f"parts.{number}.id")
                seen.add(part.id)

    def _content(self, contents: list[dict[str, Any]], detail: dict[str, Any], timeout_ms: int) -> dict[str, Any]:
        """What makes it the same prompt again; see `domain.sameness.content_hash`."""
        content = {
            **detail,
            "parts": contents,
            "noReply": self.noReply,
            "priority": self.priority,
            "timeout": timeout_ms,
            "maxAttempts": self.maxAttempts,
        }
        content.pop("agent", None)
        if self.ttl is not None:
            content["ttl"] = self.ttl
        if self.notBefore is not None:
            content["notBefore"] = self.notBefore
        if self.expiresAt is not None:
            content["expiresAt"] = self.expiresAt
        return content

    def _named(self, contents: Sequence[dict[str, Any]]) -> list[Part]:
        """Give every part its ID: the caller's, or a new one."""
        return [{"id": part.id or new_part_id(), **content} for part, content in zip(self.parts, contents, strict=True)]
