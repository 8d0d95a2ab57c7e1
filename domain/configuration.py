"""`promptq.toml`: what an operator can set that does not fit into environment variables.

It is read once, at the start of each process. Nothing in it is ignored: an unknown table or key is refused, with the
line that it stands in, and so is a value that is not right. A refusal names the place and does not repeat the value,
which may be a secret.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from domain.errors import PromptqError
from domain.keys import KEY_ID_PATTERN, SHA256_PATTERN, TENANT_PATTERN, KeptKey, Keyring
from domain.settings import Settings
from domain.toml_lines import line_of

Names = tuple[str, ...]

LARGEST = 1024 * 1024
"""Bytes. A file that is larger is some other file."""


class ConfigurationInvalid(PromptqError):
    """The configuration file cannot be read, or not be honoured. The message says where and why."""

    def __init__(self, path: Path, line: int | None, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}" if line is not None else f"{path}: {reason}")
        self.path = path
        #: Counted from 1; None if no single line is at fault.
        self.line = line
        self.reason = reason


class Table(BaseModel):
    """A table of the file: no unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def _written_as(pattern: str, sentence: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise PydanticCustomError("written_as", "must be {sentence}", {"sentence": sentence})
        return text

    return AfterValidator(check)


KeyId = Annotated[str, _written_as(KEY_ID_PATTERN, "1 to 32 of a-z 0-9")]
Tenant = Annotated[str, _written_as(TENANT_PATTERN, "1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or digit")]
Sha256 = Annotated[str, _written_as(SHA256_PATTERN, "64 hex digits, as 'promptq key new' prints them")]


class KeyTable(Table):
    """`[keys.ID]`: a key that opens the API. `promptq key new` makes one."""

    #: Whose everything is that is done with it.
    tenant: Tenant
    #: SHA-256 of the whole key; the key itself is kept nowhere.
    sha256: Sha256


class Configuration(Table):
    """The whole file. Each table is a field; what is not a field is refused."""

    keys: dict[KeyId, KeyTable] = {}

    def keyring(self, *, password: str | None) -> Keyring:
        """Make what tells whose a key or the password is."""
        kept = {key_id: KeptKey(key.tenant, key.sha256) for key_id, key in self.keys.items()}
        return Keyring(kept, password=password)


def configuration_of(settings: Settings) -> Configuration:
    """Read the file that the settings name. One that is only the default (`promptq.toml`) may be missing.

    Raises:
        ConfigurationInvalid: it cannot be read, or something in it cannot be honoured.
    """
    path = settings.config
    if "config" not in settings.model_fields_set and not path.exists():
        return Configuration()
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigurationInvalid(path, None, f"cannot be read: {error.strerror}") from error
    return parse(raw, path)


def parse(raw: bytes, path: Path) -> Configuration:
    """Read a file's content; `path` is what refusals call it.

    Raises:
        ConfigurationInvalid: something in it cannot be honoured.
    """
    if len(raw) > LARGEST:
        raise ConfigurationInvalid(path, None, f"is larger than {LARGEST} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationInvalid(path, raw[: error.start].count(b"\n") + 1, "is not UTF-8") from None
    try:
        return Configuration.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(path, text, str(error)) from None
    except ValidationError as error:
        raise _refused(path, text, error) from None


_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def _not_toml(path: Path, text: str, message: str) -> ConfigurationInvalid:
    found = _AT.search(message)
    line = int(found[1]) if found and found[1] else len(text.splitlines()) or 1
    return ConfigurationInvalid(path, line, f"is not TOML: {_AT.sub('', message)}")


def _refused(path: Path, text: str, error: ValidationError) -> ConfigurationInvalid:
    """Say the first of what is wrong, in the order of the file."""
    faults = []
    for fault in error.errors(include_url=False, include_input=False):
        names = _names(fault)
        # What is missing has no line: the table that lacks it has.
        place = names[:-1] if fault["type"] == "missing" else names
        faults.append((line_of(text, place), _reason(fault, names)))
    line, reason = min(faults, key=lambda each: each[0] or 0)
    return ConfigurationInvalid(path, line, reason)


def _names(fault: ErrorDetails) -> Names:
    """Return the names that lead to a fault, without numbers in lists and pydantic's own marks."""
    names: list[str] = []
    for each in fault["loc"]:
        if not isinstance(each, str) or each == "[key]":
            break
        names.append(each)
    return tuple(names)


def _reason(fault: ErrorDetails, names: Names) -> str:
    match fault["type"]:
        case "extra_forbidden":
            known = _known(names[:-1])
            near = difflib.get_close_matches(names[-1], known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
            return f"unknown {_dotted(names)!r}; {hint}"
        case "missing":
            return f"[{_dotted(names[:-1])}] lacks {names[-1]!r}"
        case "model_type" | "dict_type":
            return f"{_dotted(names)}: must be a table"
        case "string_type":
            return f"{_dotted(names)}: must be a string"
        case _:
            return f"{_dotted(names)}: {fault['msg']}"


def _known(names: Names) -> list[str]:
    """Return the keys that a table may have."""
    model: type[Table] = Configuration if not names else _TABLES[names[0]]
    return sorted(model.model_fields)


_TABLES: dict[str, type[Table]] = {"keys": KeyTable}
"""What the tables inside each table of the file are."""


def _dotted(names: Names) -> str:
    return ".".join(names)


def block_of(key_id: str, kept: KeptKey) -> str:
    """Write a key as lines of the file. They can be put at its end, whatever is there before."""
    values: dict[str, Any] = {"tenant": kept.tenant, "sha256": kept.sha256}
    return "\n".join([f"[keys.{key_id}]", *(f'{name} = "{value}"' for name, value in values.items()), ""])
