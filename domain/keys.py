"""API keys: how they look, what is kept of them, and whose a given one is.

A key is `promptq_`, its ID, an underscore and its secret. The ID is no secret: it is what the configuration file calls
the key by. Of the secret only the whole key's SHA-256 is kept. That is enough, and a slow hash would add nothing: the
secret is 43 random base-62 characters (256 bits), which nobody finds by trying.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

PREFIX = "promptq_"
DEFAULT_TENANT = "default"
"""Whose everything is where there are no keys."""

TENANT_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
"""A tenant's name: it is part of primary keys, Redis keys and channels."""

KEY_ID_PATTERN = r"[a-z0-9]{1,32}"
SHA256_PATTERN = r"[0-9a-f]{64}"

_EASY = "abcdefghijkmnpqrstuvwxyz23456789"
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_LENGTH = 8
_SECRET_LENGTH = 43
_KEY = re.compile(rf"{PREFIX}({KEY_ID_PATTERN})_[A-Za-z0-9]{{20,128}}", re.ASCII)


@dataclass(frozen=True)
class KeptKey:
    """What is kept of a key."""

    tenant: str
    #: SHA-256 of the whole key, in hex.
    sha256: str


@dataclass(frozen=True)
class Visitor:
    """Who stands at the door."""

    tenant: str
    #: Whether it is whoever runs the server: may see what is of all tenants together. A key never makes one.
    is_operator: bool


@dataclass(frozen=True)
class NewKey:
    """A key that was only just made: the one moment at which it is known."""

    id: str
    text: str = field(repr=False)
    kept: KeptKey


def make_key(tenant: str) -> NewKey:
    """Make a key for a tenant."""
    key_id = "".join(secrets.choice(_EASY) for _ in range(_ID_LENGTH))
    text = f"{PREFIX}{key_id}_" + "".join(secrets.choice(_BASE62) for _ in range(_SECRET_LENGTH))
    return NewKey(key_id, text, KeptKey(tenant, digest_of(text.encode())))


def digest_of(secret: bytes) -> str:
    """Return the SHA-256 of a key or a password, in hex: what is compared instead of it."""
    return hashlib.sha256(secret).hexdigest()


class Keyring:
    """Tells whose a key or a password is. Takes the same time for every wrong one of a length."""

    def __init__(self, keys: Mapping[str, KeptKey], *, password: str | None) -> None:
        """Make one.

        Args:
            keys: by their IDs.
            password: the operator's, which opens the tenant `default`; None if there is none.
        """
        self._keys = dict(keys)
        self._password = digest_of(password.encode()) if password is not None else None

    @property
    def is_needed(self) -> bool:
        """Whether there is anything to be asked for."""
        return bool(self._keys) or self._password is not None

    def with_nothing(self) -> Visitor | None:
        """Return who somebody is that brings nothing: the operator, where nothing is asked for, else nobody."""
        return None if self.is_needed else _OPERATOR

    def with_key(self, given: bytes) -> Visitor | None:
        """Return whose key this is, or None if it is nobody's."""
        found = _KEY.fullmatch(given.decode("latin-1"))
        kept = self._keys.get(found[1], _NOBODYS) if found else _NOBODYS
        same = hmac.compare_digest(digest_of(given), kept.sha256)
        return Visitor(kept.tenant, is_operator=False) if same else None

    def with_password(self, given: bytes) -> Visitor | None:
        """Return the operator if this is the password, else None."""
        same = hmac.compare_digest(digest_of(given), self._password or _NOBODYS.sha256)
        return _OPERATOR if same else None


_OPERATOR = Visitor(DEFAULT_TENANT, is_operator=True)
_NOBODYS = KeptKey(tenant="", sha256="0" * 64)
"""Compared with where there is nothing to compare with. Nothing is known that has this hash."""
