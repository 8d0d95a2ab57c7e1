"""From a body's bytes to a request, or to a sentence that names the field at fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from pydantic import ValidationError

from domain.errors import InvalidRequest
from domain.requests.fields import Body

B = TypeVar("B", bound=Body)

Fault = tuple[str, str, Sequence[int | str]]
"""One thing that is wrong, as pydantic says it: a kind, a sentence, and the place."""

MOST_NAMED = 3
"""How many faults one answer lists."""

LONGEST_NAME = 120

#: Pydantic puts the chosen member of a union into the path; these are those of our unions, by what stands before them.
_MEMBERS = {"format": {"text", "json_schema"}, "source": {"file", "symbol", "resource"}}


def parse(model: type[B], raw: bytes) -> B:
    """Read a request from JSON.

    Raises:
        InvalidRequest: it is not JSON, or not such a request. The message says where, and repeats no content.
    """
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise _of(error) from None


def check(model: type[B], value: object, *, place: str) -> B:
    """Read a part of a request that has been read already; `place` is where it stands, dotted.

    Raises:
        InvalidRequest: it is not as the model says.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _of(error, place) from None


def _of(error: ValidationError, *before: str) -> InvalidRequest:
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    return refusal([(fault["type"], fault["msg"], (*before, *fault["loc"])) for fault in faults])


def refusal(faults: Sequence[Fault]) -> InvalidRequest:
    """Say what is wrong with a request, in words that name the fields."""
    sentences = [_sentence(kind, message, dotted(place)) for kind, message, place in faults[:MOST_NAMED]]
    if len(faults) > MOST_NAMED:
        sentences.append(f"and {len(faults) - MOST_NAMED} more")
    return InvalidRequest("; ".join(sentences), field=dotted(faults[0][2]) or None)


def dotted(place: Sequence[int | str]) -> str:
    """Write a place in a request as `parts.0.text`, without the names of union members."""
    words: list[str] = []
    previous: str | int = ""
    for word in place:
        of_parts = isinstance(previous, int) and words[:-1] == ["parts"]
        is_member = of_parts or word in _MEMBERS.get(str(previous), ())
        if not is_member:
            words.append(str(word))
        previous = "" if is_member else word
    return ".".join(words)[:LONGEST_NAME]


def _sentence(kind: str, message: str, field: str) -> str:
    if kind == "json_invalid":
        is_empty = message.endswith("at line 1 column 0")
        return "the body is empty, and so not JSON" if is_empty else message.replace("Invalid", "the body is not", 1)
    said = _said(kind, message, field)
    return f"{field}: {said}" if field else said.replace("must be", "the body must be", 1)


def _said(kind: str, message: str, field: str) -> str:
    match kind:
        case "extra_forbidden":
            return "unknown field"
        case "missing":
            return "is required"
        case "too_short":
            return "must not be empty"
        case "union_tag_not_found":
            return "type is required"
        case "union_tag_invalid":
            return f"type must be one of {message.partition('expected tags: ')[2]}"
        case "model_type" if field == "model":
            return "must be an object with providerID and modelID"
    return message.replace("Input should be", "must be", 1)
