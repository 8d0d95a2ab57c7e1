"""What a line of a batch asks for: a chat completion, a prompt to a session, or the short form of either."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from domain.batches.lines import LineName, RawLine
from domain.clock import Millis
from domain.errors import InvalidRequest
from domain.ids import hidden_id_from, is_ephemeral
from domain.prompts import Prompt
from domain.record import Record
from domain.requests.chat import ChatMessage, ChatRequest, parse_chat, refused
from domain.requests.parsing import parse
from domain.requests.prompts import PromptRequest, Terms

CHAT = "/v1/chat/completions"
SESSION = "/session/{id}/prompt_async"
ENDPOINTS = (CHAT, SESSION)
"""What a batch's `endpoint` may name. It says nothing more: each line has its own `url`."""

_SESSION_URL = re.compile(r"/session/(ses_[A-Za-z0-9_-]{1,128})/prompt_async", re.ASCII)
_CUSTOM_ID = Annotated[str, Meta(min_length=1, max_length=512)]


class _Envelope(Struct, forbid_unknown_fields=True):
    custom_id: _CUSTOM_ID
    method: Literal["POST"] | UnsetType = UNSET
    url: str | UnsetType = UNSET
    body: Raw | UnsetType = UNSET
    prompt: str | UnsetType = UNSET
    session: str | UnsetType = UNSET
    ephemeral: bool | UnsetType = UNSET
    model: str | UnsetType = UNSET


class _Named(Struct):
    """As much of a bad line as can be told to whom it belongs."""

    custom_id: _CUSTOM_ID | UnsetType = UNSET


class _UrlRefused(InvalidRequest):
    """It is not the body that is wrong."""


class LineRefused(InvalidRequest):
    """A line cannot be run."""

    def __init__(self, code: str, message: str, *, field: str | None = None, custom_id: str | None = None) -> None:
        super().__init__(message, field=field)
        #: A stable word.
        self.code = code
        #: What the line is called, if that can be read.
        self.custom_id = custom_id


@dataclass(frozen=True)
class Defaults(Record):
    """What a batch says for lines that do not say it themselves."""

    model: str | None = None
    ephemeral: bool = False
    priority: int = 5
    max_attempts: int | None = None
    timeout_ms: Millis | None = None


@dataclass(frozen=True)
class Line(Record):
    """A line that can be run."""

    name: LineName
    #: The session that it is for; None: it is a one-off.
    session_id: str | None
    is_ephemeral: bool
    request: ChatRequest | PromptRequest

    def arrival(self, batch_id: str, seed: str, defaults: Defaults, terms: Terms) -> tuple[str, Prompt]:
        """Return the session and the prompt that it becomes.

        Args:
            batch_id: of its batch.
            seed: tells this run of this line from all others.
            defaults: what its batch says.
            terms: what this server takes.
        """
        shared: dict[str, Any] = {"batch_id": batch_id, "line": str(self.name)}
        if isinstance(self.request, ChatRequest):
            session_id = hidden_id_from(seed, ephemeral=self.is_ephemeral)
            prompt = self.request.prompt(content_hash=f"{self.name.hash & _MASK:016x}", **shared)
        else:
            session_id = self.session_id or ""
            prompt = self.request.prompt(session_id, terms).evolve(**shared)
        if self.is_ephemeral and prompt.message_id is None:
            prompt = prompt.evolve(idempotency_key=seed)
        return session_id, _completed(prompt, self.request, defaults)


class LineReader:
    """Reads the lines of one batch."""

    def __init__(self, defaults: Defaults, terms: Terms) -> None:
        self._defaults = defaults
        self._terms = terms
        self._salt = hashlib.blake2b(msgspec.json.encode((defaults.model, defaults.ephemeral)), digest_size=8).digest()

    def read(self, raw: RawLine) -> Line:
        """Read a line, and check all that can be checked without a store.

        Raises:
            LineRefused: it cannot be run.
        """
        if raw.text is None:
            raise LineRefused("line_too_long", "the line is longer than this server takes")
        try:
            envelope = _envelopes.decode(raw.text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _unreadable(error, raw.text) from None
        try:
            return self._line(raw.number, raw.text, envelope)
        except LineRefused:
            raise
        except InvalidRequest as error:
            raise LineRefused("invalid_line", str(error), field=error.field, custom_id=envelope.custom_id) from None

    def _line(self, number: int, text: bytes, envelope: _Envelope) -> Line:
        _check_custom_id(envelope.custom_id)
        session_id, request, is_temporary = self._request(envelope)
        return Line(LineName(number, self._hash(text), envelope.custom_id), session_id, is_temporary, request)

    def _request(self, envelope: _Envelope) -> tuple[str | None, ChatRequest | PromptRequest, bool]:
        if envelope.prompt is not UNSET:
            return self._short(envelope, envelope.prompt)
        for name in ("session", "ephemeral", "model"):
            if getattr(envelope, name) is not UNSET:
                raise InvalidRequest(f"{name}: is part of the short form, which has a prompt", field=name)
        if envelope.method is UNSET:
            raise InvalidRequest("method: is required", field="method")
        if envelope.url is UNSET:
            raise InvalidRequest("url: is required", field="url")
        if envelope.body is UNSET:
            raise InvalidRequest("body: is required", field="body")
        try:
            return self._body(envelope.url, envelope.body)
        except _UrlRefused:
            raise
        except InvalidRequest as error:
            raise _in_body(error) from None

    def _body(self, url: str, body: Raw) -> tuple[str | None, ChatRequest | PromptRequest, bool]:
        if url == CHAT:
            chat = parse_chat(body)
            if chat.stream or chat.stream_options is not None:
                raise InvalidRequest("stream: a line of a batch is not streamed", field="stream")
            chat.check(self._terms.catalog)
            return None, chat, self._defaults.ephemeral if chat.ephemeral is None else chat.ephemeral
        found = _SESSION_URL.fullmatch(url)
        if found is None:
            raise _UrlRefused(f"url: must be {CHAT} or {SESSION} with a session's ID", field="url")
        request = self._for_session(found[1], parse(PromptRequest, bytes(body)))
        return found[1], request, is_ephemeral(found[1])

    def _short(self, envelope: _Envelope, prompt: str) -> tuple[str | None, ChatRequest | PromptRequest, bool]:
        for name in ("method", "url", "body"):
            if getattr(envelope, name) is not UNSET:
                raise InvalidRequest(f"{name}: is not part of the short form, which has a prompt", field=name)
        if not prompt.strip():
            raise InvalidRequest("prompt: must not be empty", field="prompt")
        model = None if envelope.model is UNSET else self._terms.catalog.check_name(str(envelope.model))
        wish = None if envelope.ephemeral is UNSET else bool(envelope.ephemeral)
        if envelope.session is UNSET:
            chat = ChatRequest(messages=[ChatMessage("user", prompt)], model=model)
            return None, chat, self._defaults.ephemeral if wish is None else wish
        session_id = str(envelope.session)
        if not _SESSION_URL.fullmatch(f"/session/{session_id}/prompt_async"):
            raise InvalidRequest("session: must be 'ses_' followed by 1 to 128 of A-Z a-z 0-9 _ -", field="session")
        if wish is not None and wish != is_ephemeral(session_id):
            raise InvalidRequest("ephemeral: a session's name says where it lives: 'ses_tmp_…'", field="ephemeral")
        provider, _, name = (model or "").partition("/")
        fields: dict[str, Any] = {"model": {"providerID": provider, "modelID": name}} if model else {}
        request = PromptRequest.model_validate({"parts": [{"type": "text", "text": prompt}], **fields})
        return session_id, self._for_session(session_id, request), is_ephemeral(session_id)

    def _for_session(self, session_id: str, request: PromptRequest) -> PromptRequest:
        request.check(session_id, self._terms)
        if request.noReply:
            raise InvalidRequest("noReply: a line of a batch asks for an answer", field="noReply")
        if request.whenBusy == "interrupt":
            raise InvalidRequest("whenBusy: a line of a batch cannot interrupt", field="whenBusy")
        return request

    def _hash(self, text: bytes) -> int:
        """Hash what a line asks for: the order of its fields and the blanks between them make no difference."""
        canonical = _canonical.encode(_anything.decode(text))
        return int.from_bytes(hashlib.blake2b(canonical, digest_size=8, key=self._salt).digest(), signed=True)


_envelopes = msgspec.json.Decoder(_Envelope)
_names = msgspec.json.Decoder(_Named)
_anything = msgspec.json.Decoder()
_canonical = msgspec.json.Encoder(order="sorted")
_MASK = 2**64 - 1


def custom_id_of(raw: RawLine) -> str | None:
    """Return what a line is called, if that can be read of it: also of one that cannot be run."""
    if raw.text is None:
        return None
    try:
        name = _names.decode(raw.text).custom_id
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return name if isinstance(name, str) and name.isprintable() else None


def _completed(prompt: Prompt, request: ChatRequest | PromptRequest, defaults: Defaults) -> Prompt:
    given = request.model_fields_set if isinstance(request, PromptRequest) else frozenset()
    more: dict[str, Any] = {}
    if prompt.model is None and defaults.model is not None:
        more["model"] = defaults.model
    if "priority" not in given:
        more["priority"] = defaults.priority
    if defaults.max_attempts is not None and "maxAttempts" not in given:
        more["max_attempts"] = defaults.max_attempts
    if defaults.timeout_ms is not None and "timeout" not in given:
        more["timeout_ms"] = defaults.timeout_ms
    return prompt.evolve(**more)


def _unreadable(error: Exception, text: bytes) -> LineRefused:
    custom_id = custom_id_of(RawLine(0, text, 0))
    if isinstance(error, UnicodeDecodeError) or not _is_utf8(text):
        return LineRefused("invalid_utf8", "the line is not UTF-8", custom_id=custom_id)
    assert isinstance(error, msgspec.DecodeError)  # noqa: S101 - the other of the two
    refusal = refused(error)
    code = "invalid_line" if isinstance(error, msgspec.ValidationError) else "invalid_json"
    return LineRefused(code, str(refusal), field=refusal.field, custom_id=custom_id)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_custom_id(custom_id: str) -> None:
    if not custom_id.isprintable():
        raise InvalidRequest("custom_id: must not contain control characters", field="custom_id")


def _in_body(error: InvalidRequest) -> InvalidRequest:
    field = f"body.{error.field}" if error.field else "body"
    sentence = str(error)
    is_named = error.field is not None and sentence.startswith(error.field)
    return InvalidRequest(f"body.{sentence}" if is_named else f"body: {sentence}", field=field)
