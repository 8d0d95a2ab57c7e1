"""The parts of a prompt, as OpenCode's document has them."""

from __future__ import annotations

import binascii
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from domain.requests.fields import Body, Count, Given, JsonObject, Moment, PartId

_DATA_URL = re.compile(r"data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+=(?:[\w.+-]+|\"[^\"]*\"))*(;base64)?,", re.ASCII)


def data_url(url: str) -> str:
    """Accept `data:` only: nothing is fetched, and no file of the server's is read, for a caller."""
    if url[:5].lower() != "data:":
        raise PydanticCustomError("data_url", "only data: URLs are taken; files are not fetched")
    start = _DATA_URL.match("data:" + url[5:])
    if start is None:
        raise PydanticCustomError("data_url", "is not a data: URL (data:[type][;base64],…)")
    if start[1]:
        try:
            binascii.a2b_base64(url[start.end() :], strict_mode=True)
        except (binascii.Error, ValueError):
            raise PydanticCustomError("data_url", "does not hold valid base64") from None
    return url


class TextTime(Body):
    start: Moment
    end: Given[Moment] = None


class TextPart(Body):
    """Something said."""

    type: Literal["text"]
    text: str
    id: Given[PartId] = None
    synthetic: Given[bool] = None
    ignored: Given[bool] = None
    time: Given[TextTime] = None
    metadata: Given[JsonObject] = None


class Excerpt(Body):
    value: str
    start: float
    end: float


class Position(Body):
    line: Count
    character: Count


class Range(Body):
    start: Position
    end: Position


class FileSource(Body):
    type: Literal["file"]
    text: Excerpt
    path: str


class SymbolSource(Body):
    type: Literal["symbol"]
    text: Excerpt
    path: str
    range: Range
    name: str
    kind: Count


class ResourceSource(Body):
    type: Literal["resource"]
    text: Excerpt
    clientName: str  # noqa: N815 - OpenCode's name
    uri: str


Source = Annotated[FileSource | SymbolSource | ResourceSource, Field(discriminator="type")]


class FilePart(Body):
    """A file, whole, inside its URL."""

    type: Literal["file"]
    mime: Annotated[str, Field(min_length=1, max_length=256)]
    url: Annotated[str, AfterValidator(data_url), Field(json_schema_extra={"pattern": "^data:"})]
    id: Given[PartId] = None
    filename: Given[str] = None
    source: Given[Source] = None


class Mention(Body):
    value: str
    start: Count
    end: Count


class AgentPart(Body):
    """A mention of an agent."""

    type: Literal["agent"]
    name: str
    id: Given[PartId] = None
    source: Given[Mention] = None


class PartModel(Body):
    providerID: str  # noqa: N815 - OpenCode's name
    modelID: str  # noqa: N815 - OpenCode's name


class SubtaskPart(Body):
    """Work for an agent of its own."""

    type: Literal["subtask"]
    prompt: str
    description: str
    agent: str
    id: Given[PartId] = None
    model: Given[PartModel] = None
    command: Given[str] = None


InputPart = Annotated[TextPart | FilePart | AgentPart | SubtaskPart, Field(discriminator="type")]


def content_of(part: InputPart) -> dict[str, Any]:
    """Return what was given of a part but its ID: that is a name, not content."""
    content = part.model_dump(exclude_unset=True)
    content.pop("id", None)
    return content
