"""The kinds of fields that requests are made of, and what every request model has in common."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError

from domain.clock import Millis
from domain.errors import InvalidRequest
from domain.ids import check_message_id, check_part_id, check_session_id

T = TypeVar("T")

LATEST: Millis = 2**53 - 1
"""The largest whole number that every JSON implementation reads exactly."""

_WORKSPACE = re.compile(r"wrk[A-Za-z0-9_-]{0,128}", re.ASCII)


class Body(BaseModel):
    """A JSON object from a caller: no unknown fields, no conversions, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True, serialize_by_alias=True)


class _NotNull:
    """Lets a field be left out, which reads as None, but not be null: OpenCode's document knows no nulls."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        given = next(argument for argument in get_args(source) if argument is not type(None))
        return handler(given)


Given = Annotated[T | None, _NotNull()]
"""A field that may be left out. `Given[str] = None`"""


def no_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul_character", "must not contain a NUL character")
    return text


def _plain_numbers(value: Any) -> Any:
    """Refuse what JSON's grammar allows and others cannot read back: infinite, and whole numbers of over 64 bits."""
    stack = [value]
    while stack:
        match stack.pop():
            case dict() as inner:
                stack.extend(inner.values())
            case list() as inner:
                stack.extend(inner)
            case int() as number if not -(2**63) <= number < 2**63:
                raise PydanticCustomError("number_too_large", "holds a whole number of more than 64 bits")
            case float() as number if number - number != 0:
                raise PydanticCustomError("finite_number", "holds a number that is not finite")
            case _:
                pass
    return value


def _session_id(text: str) -> str:
    return _checked(check_session_id, text)


def _message_id(text: str) -> str:
    return _checked(check_message_id, text)


def _part_id(text: str) -> str:
    return _checked(check_part_id, text)


def _checked(check: Any, text: str) -> str:
    try:
        return str(check(text, field="it"))
    except InvalidRequest as error:
        raise PydanticCustomError("id", "{why}", {"why": str(error).removeprefix("it ")}) from None


def check_workspace_id(text: str) -> str:
    """Accept `wrk` and up to 128 of `[A-Za-z0-9_-]`."""
    if not _WORKSPACE.fullmatch(text):
        raise PydanticCustomError("id", "must be 'wrk' followed by up to 128 of A-Z a-z 0-9 _ -")
    return text


#: Text that a store keeps in a column of its own.
Name = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(no_nul)]
Title = Annotated[str, Field(max_length=4096), AfterValidator(no_nul)]
Directory = Annotated[str, Field(max_length=4096), AfterValidator(no_nul)]
#: An object of the caller's own making.
JsonObject = Annotated[dict[str, Any], AfterValidator(_plain_numbers)]

SessionId = Annotated[
    str, AfterValidator(_session_id), Field(json_schema_extra={"pattern": "^ses_[A-Za-z0-9_-]{1,128}$"})
]
MessageId = Annotated[
    str, AfterValidator(_message_id), Field(json_schema_extra={"pattern": "^msg_?[A-Za-z0-9_-]{1,128}$"})
]
PartId = Annotated[str, AfterValidator(_part_id), Field(json_schema_extra={"pattern": "^prt_?[A-Za-z0-9_-]{1,128}$"})]
WorkspaceId = Annotated[
    str, AfterValidator(check_workspace_id), Field(json_schema_extra={"pattern": "^wrk[A-Za-z0-9_-]{0,128}$"})
]

#: Epoch milliseconds.
Moment = Annotated[int, Field(ge=0, le=LATEST)]
Count = Annotated[int, Field(ge=0, le=LATEST)]
