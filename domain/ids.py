"""IDs: how they are made, which ones a caller may choose, and the deterministic session ID.

IDs that we make sort as OpenCode's do, because its clients sort by them: messages, parts and jobs ascending in time,
sessions descending. promptq's own order is the sequence number, never the ID.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
import unicodedata
import uuid
from collections.abc import Mapping

from domain.clock import system_clock
from domain.errors import InvalidRequest

SESSION_PREFIX = "ses_"
EPHEMERAL_PREFIX = "ses_tmp_"
EPHEMERAL_JOB_PREFIX = "job_tmp_"
HIDDEN_PREFIX = "ses_."
HIDDEN_EPHEMERAL_PREFIX = "ses_tmp_."
"""How sessions of one-offs begin. A caller's session ID has no dot: nobody can name one of these over HTTP."""

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE62_PAIRS = tuple(first + second for first in _BASE62 for second in _BASE62)
_TAG_DIGITS = range(10)
_MASK = (1 << 48) - 1
_SESSION = re.compile(r"ses_[A-Za-z0-9_-]{1,128}", re.ASCII)
_MESSAGE = re.compile(r"msg_?[A-Za-z0-9_-]{1,128}", re.ASCII)
_BATCH = re.compile(r"batch_[A-Za-z0-9_-]{1,128}", re.ASCII)
_PART = re.compile(r"prt_?[A-Za-z0-9_-]{1,128}", re.ASCII)

#: The namespace of `session_id_from`, itself `uuid5(NAMESPACE_DNS, "promptq.session")`.
SESSION_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "promptq.session")

_lock = threading.Lock()
_last = 0


def new_id(prefix: str, *, descending: bool = False) -> str:
    """Make an ID: `prefix`, an underscore, 12 hex digits of time, 14 random base-62 characters.

    The hex digits are the low 48 bits of (milliseconds × 4096 + counter), complemented when `descending`. Within one
    process no two are equal and they rise strictly; across processes 83 random bits keep them apart.
    """
    global _last  # noqa: PLW0603 - the counter is what makes IDs of one process rise strictly
    with _lock:
        _last = max(_last + 1, system_clock() * 4096)
        stamp = _last & _MASK
    if descending:
        stamp ^= _MASK
    noise = int.from_bytes(os.urandom(12))
    tail = ""
    for _ in range(7):
        noise, pair = divmod(noise, 62 * 62)
        tail += _BASE62_PAIRS[pair]
    return f"{prefix}_{stamp:012x}{tail}"


def new_session_id(*, ephemeral: bool = False) -> str:
    """Make a session ID; an ephemeral one's starts `ses_tmp_`."""
    return new_id("ses_tmp" if ephemeral else "ses", descending=True)


def new_message_id() -> str:
    """Make a message ID."""
    return new_id("msg")


def new_part_id() -> str:
    """Make a part ID."""
    return new_id("prt")


def new_job_id(session_id: str, incarnation: int) -> str:
    """Make the ID of a job of a session.

    It ends in the session's tag instead of so many random characters, and starts `job_tmp_` if the session is
    ephemeral: where such a job is kept, and of which session it is, need no index.
    """
    prefix = "job_tmp" if is_ephemeral(session_id) else "job"
    return new_id(prefix)[: -len(_TAG_DIGITS)] + session_tag(session_id, incarnation)


def session_tag(session_id: str, incarnation: int) -> str:
    """Return ten base-62 characters that tell one incarnation of a session from others, in the IDs of its jobs."""
    digest = int.from_bytes(hashlib.blake2b(f"{session_id}\0{incarnation}".encode(), digest_size=8).digest())
    tag = ""
    for _ in _TAG_DIGITS[::2]:
        digest, pair = divmod(digest, 62 * 62)
        tag += _BASE62_PAIRS[pair]
    return tag


def tag_of(job_id: str) -> str:
    """Return the session's tag in a job's ID."""
    return job_id[-len(_TAG_DIGITS) :]


def new_incarnation() -> int:
    """Make the number that tells a session from an earlier one of the same name: 62 random bits, never 0."""
    return secrets.randbits(62) | 1


def new_hidden_id(*, ephemeral: bool = False) -> str:
    """Make the ID of a one-off's session."""
    return (HIDDEN_EPHEMERAL_PREFIX if ephemeral else HIDDEN_PREFIX) + new_id("")[1:]


def hidden_id_from(seed: str, *, ephemeral: bool = False) -> str:
    """Compute the ID of a one-off's session: the same for the same seed."""
    digest = hashlib.blake2b(seed.encode(), digest_size=16).hexdigest()
    return (HIDDEN_EPHEMERAL_PREFIX if ephemeral else HIDDEN_PREFIX) + digest


def new_file_id() -> str:
    """Make a file's ID, as OpenAI's look."""
    return "file-" + new_id("")[1:]


def is_hidden(session_id: str) -> bool:
    """Tell whether a session is a one-off's: its name says so."""
    return session_id.startswith((HIDDEN_PREFIX, HIDDEN_EPHEMERAL_PREFIX))


def is_ephemeral(session_id: str) -> bool:
    """Tell where a session lives: its name says so."""
    return session_id.startswith(EPHEMERAL_PREFIX)


def is_ephemeral_job(job_id: str) -> bool:
    """Tell where a job is kept: its name says so."""
    return job_id.startswith(EPHEMERAL_JOB_PREFIX)


def check_session_id(value: str, *, field: str = "sessionID") -> str:
    """Accept `ses_` and 1 to 128 of `[A-Za-z0-9_-]`.

    Raises:
        InvalidRequest: anything else.
    """
    if not _SESSION.fullmatch(value):
        raise InvalidRequest(f"{field} must be 'ses_' followed by 1 to 128 of A-Z a-z 0-9 _ -", field=field)
    return value


def check_message_id(value: str, *, field: str = "messageID") -> str:
    """Accept `msg`, perhaps an underscore, and 1 to 128 of `[A-Za-z0-9_-]`.

    Raises:
        InvalidRequest: anything else.
    """
    if not _MESSAGE.fullmatch(value):
        raise InvalidRequest(f"{field} must be 'msg_' followed by 1 to 128 of A-Z a-z 0-9 _ -", field=field)
    return value


def check_part_id(value: str, *, field: str = "id") -> str:
    """Accept `prt`, perhaps an underscore, and 1 to 128 of `[A-Za-z0-9_-]`.

    Raises:
        InvalidRequest: anything else.
    """
    if not _PART.fullmatch(value):
        raise InvalidRequest(f"{field} must be 'prt_' followed by 1 to 128 of A-Z a-z 0-9 _ -", field=field)
    return value


def check_batch_id(value: str, *, field: str = "id") -> str:
    """Accept `batch_` and 1 to 128 of `[A-Za-z0-9_-]`.

    Raises:
        InvalidRequest: anything else.
    """
    if not _BATCH.fullmatch(value):
        raise InvalidRequest(f"{field} must be 'batch_' followed by 1 to 128 of A-Z a-z 0-9 _ -", field=field)
    return value


def canonical_pairs(namespace: str, pairs: Mapping[str, str]) -> str:
    """Return the text that a deterministic session ID is computed from.

    The namespace, then each pair as `key=value`, sorted by the UTF-8 bytes of the key (then of the value), all
    NFC-normalised, with `%`, `=` and line feed in any of them written as `%25`, `%3D` and `%0A`; joined by single line
    feeds, none at the end.
    """

    def escaped(text: str) -> str:
        normal = unicodedata.normalize("NFC", text)
        return normal.replace("%", "%25").replace("=", "%3D").replace("\n", "%0A")

    escaped_pairs = ((escaped(key), escaped(value)) for key, value in pairs.items())
    lines = sorted(escaped_pairs, key=lambda pair: (pair[0].encode(), pair[1].encode()))
    return "\n".join([escaped(namespace), *(f"{key}={value}" for key, value in lines)])


def session_id_from(namespace: str, pairs: Mapping[str, str], *, ephemeral: bool = False) -> str:
    """Compute the session ID of some parameters: `ses_` + UUIDv5(`SESSION_NAMESPACE`, `canonical_pairs`).

    The same in any language and on any machine; `docs/session-ids.md` holds test vectors.
    """
    name = str(uuid.uuid5(SESSION_NAMESPACE, canonical_pairs(namespace, pairs)))
    return (EPHEMERAL_PREFIX if ephemeral else SESSION_PREFIX) + name
