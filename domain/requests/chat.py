"""A request for a chat completion, as OpenAI's API has it: over HTTP, or as a line of a batch.

Read by msgspec and not, as other requests, by pydantic: a file has a million of them, and this takes a tenth of the
time. Fields that OpenAI's document has and that are not here are refused; `docs/bulk.md` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from domain.conversations import Said, before_of
from domain.errors import InvalidRequest
from domain.ids import new_part_id
from domain.messages import Part
from domain.models import Catalog
from domain.prompts import Prompt
from domain.requests.parts import data_url

_PENALTY = Annotated[float, Meta(ge=-2, le=2)]
_Tokens = Annotated[int, Meta(ge=1, le=2**31)]


class TextContent(Struct, tag="text", forbid_unknown_fields=True):
    text: str


class ImageUrl(Struct, forbid_unknown_fields=True):
    url: str
    detail: Literal["auto", "low", "high"] | None = None


class ImageContent(Struct, tag="image_url", forbid_unknown_fields=True):
    image_url: ImageUrl


class ChatMessage(Struct, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextContent | ImageContent]
    name: str | None = None


class JsonSchema(Struct, forbid_unknown_fields=True):
    name: str
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class TextFormat(Struct, tag="text", forbid_unknown_fields=True):
    pass


class JsonObjectFormat(Struct, tag="json_object", forbid_unknown_fields=True):
    pass


class JsonSchemaFormat(Struct, tag="json_schema", forbid_unknown_fields=True):
    json_schema: JsonSchema


class StreamOptions(Struct, forbid_unknown_fields=True):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(Struct, forbid_unknown_fields=True):
    """What a model is asked; `messages` is the whole conversation."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    #: `provider/model`; None: the batch's, or the server's.
    model: Annotated[str, Meta(min_length=1, max_length=512)] | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    seed: int | None = None
    presence_penalty: _PENALTY | None = None
    frequency_penalty: _PENALTY | None = None
    response_format: TextFormat | JsonObjectFormat | JsonSchemaFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    n: Literal[1] | None = None
    user: str | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    #: promptq's own: keep the prompt and its answer in Redis only.
    ephemeral: bool | None = None

    def check(self, catalog: Catalog) -> None:
        """Check what the types do not say.

        Raises:
            InvalidRequest: the fields do not fit each other, or ask for what this server does not have.
        """
        if self.model is not None:
            catalog.check_name(self.model)
        if self.store:
            raise InvalidRequest("store: completions are not kept for later here", field="store")
        before_of(self._said())
        for number, message in enumerate(self.messages):
            if isinstance(message.content, list):
                self._check_contents(number, message.content)

    def prompt(self, *, content_hash: str, **fields: Any) -> Prompt:
        """Make what a store admits, of a request that has been checked; `fields` are those of `Prompt`."""
        system, before, last = before_of(self._said())
        detail: dict[str, Any] = {}
        if system:
            detail["system"] = system
        if before:
            detail["before"] = [{"role": said.role, "parts": list(said.parts)} for said in before]
        options = self._options()
        if options:
            detail["options"] = options
        parts = [{"id": new_part_id(), **part} for part in last.parts]
        return Prompt(parts=parts, content_hash=content_hash, model=self.model, detail=detail, **fields)

    def _said(self) -> list[Said]:
        return [Said(message.role, _parts(message.content)) for message in self.messages]

    def _options(self) -> Mapping[str, Any]:
        """What is passed on to the model's provider, by OpenAI's names, without what was not given."""
        options: dict[str, Any] = {name: value for name in _OPTIONS if (value := getattr(self, name)) is not None}
        if self.response_format is not None:
            options["response_format"] = msgspec.to_builtins(self.response_format)
        return options

    @staticmethod
    def _check_contents(number: int, contents: Sequence[TextContent | ImageContent]) -> None:
        for place, content in enumerate(contents):
            if isinstance(content, ImageContent):
                field = f"messages.{number}.content.{place}.image_url.url"
                try:
                    data_url(content.image_url.url)
                except ValueError as error:
                    raise InvalidRequest(f"{field}: {error}", field=field) from None


_OPTIONS = (
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
    "user",
)

_decoder = msgspec.json.Decoder(ChatRequest)


def parse_chat(raw: bytes | msgspec.Raw) -> ChatRequest:
    """Read a request from JSON.

    Raises:
        InvalidRequest: it is not JSON, or not such a request. The message says where, and repeats no content.
    """
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise refused(error) from None


def refused(error: msgspec.DecodeError, *before: str) -> InvalidRequest:
    """Say what msgspec found wrong, in the words of other refusals; `before` is the place of what it read."""
    sentence, _, path = str(error).partition(" - at `$")
    words = [*before, *re.findall(r"[^.\[\]`]+", path.replace("[...]", ""))]
    field = ".".join(words)[:120]
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", sentence, re.DOTALL)
    missing = re.fullmatch(r"Object missing required field `(.*)`", sentence)
    if unknown:
        field = ".".join((*words, unknown[1]))[:120]
        said = "unknown field"
    elif missing:
        field = ".".join((*words, missing[1]))
        said = "is required"
    elif not isinstance(error, msgspec.ValidationError):
        return InvalidRequest(f"not JSON: {sentence.removeprefix('JSON is malformed: ')}", field=field or None)
    else:
        said = sentence.replace("Expected", "must be", 1)
        if said.startswith("Invalid enum value"):
            said = "is not one of the values that are taken"
        elif said.startswith("Invalid value"):
            said = "is not one of the types that are taken"
    return InvalidRequest(f"{field}: {said}" if field else said, field=field or None)


def _parts(content: str | Sequence[TextContent | ImageContent]) -> tuple[Part, ...]:
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    return tuple(
        {"type": "text", "text": piece.text}
        if isinstance(piece, TextContent)
        else {"type": "file", "mime": _mime(piece.image_url.url), "url": piece.image_url.url}
        for piece in content
    )


def _mime(url: str) -> str:
    return url[5:].partition(",")[0].partition(";")[0] or "text/plain"
