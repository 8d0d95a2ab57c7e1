"""Taking secrets out of sentences: the last line of defence, for what others' errors and logs may repeat.

promptq itself says no secrets. Its libraries may: a driver quotes the URL that it could not connect to.
"""

from __future__ import annotations

import re

from domain.keys import KEY_ID_PATTERN, PREFIX

HIDDEN = "***"

_RULES = (
    # scheme://user:secret@host, also where the secret has an @ of its own
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/]*@", re.IGNORECASE), rf"\1:{HIDDEN}@"),
    # An API key; which one it is may be said.
    (re.compile(rf"({PREFIX}{KEY_ID_PATTERN})_[A-Za-z0-9]+"), rf"\1_{HIDDEN}"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9+/=_.~-]{6,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
    # password=secret, as in the query of a URL or in a connection string; and "password": "secret"
    (re.compile(r"""(\bpass(?:word|wd)?["']?\s*[=:]\s*)(["'])[^"']*\2""", re.IGNORECASE), rf"\1\2{HIDDEN}\2"),
    (re.compile(r"""(\bpass(?:word|wd)?\s*[=:]\s*)[^\s&,;"')]+""", re.IGNORECASE), rf"\1{HIDDEN}"),
)

_SUSPICIOUS = re.compile(rf"://|{PREFIX}|bearer|basic|pass", re.IGNORECASE)
"""Most sentences have nothing of this, and are not looked at more closely."""


def redacted(text: str) -> str:
    """Return a text without the passwords and keys that can be told from other words."""
    if _SUSPICIOUS.search(text) is None:
        return text
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text
