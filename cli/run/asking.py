"""Puts a prompt together: the words, what is piped in, and files."""

from __future__ import annotations

import base64
import io
import mimetypes
import stat
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from cli.client import Json
from cli.exits import UsageError, remark
from cli.run.wishes import Wishes, model_of
from domain.ids import new_message_id

_REMARK_AFTER_S = 2.0

_TEXT = "text/plain"
_ANYTHING = "application/octet-stream"

_SNIFFED = 8192
"""Bytes that are looked at to tell a text from anything else, where a file's name does not say."""


def prompt_of(wishes: Wishes, *, most_bytes: int) -> Json:
    """Make the body of the request: a new prompt, under a name of its own, for a session that is there.

    Args:
        wishes: what was asked for.
        most_bytes: how large a request may be.

    Raises:
        UsageError: there is no prompt, or a file cannot be sent.
    """
    parts = [_file_part(path) for path in wishes.files]
    text = _said(" ".join(wishes.words), _piped_in())
    if not text.strip():
        raise UsageError("there is no prompt; give it in quotes, or pipe it in.")
    body: Json = {"messageID": new_message_id(), "ifMissing": "fail", "parts": [*parts, {"type": "text", "text": text}]}
    if wishes.model is not None:
        body["model"] = model_of(wishes.model)
    if wishes.agent is not None:
        body["agent"] = wishes.agent
    _check_size(wishes.files, parts, len(text.encode("utf-8", "replace")), most_bytes)
    return body


def _said(words: str, piped: str) -> str:
    try:
        words.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the prompt is not UTF-8 text.") from error
    return f"{words}\n{piped}" if words and piped else words or piped


def _piped_in() -> str:
    """Read what is piped in, to its end. Says so if that takes long: a pipe that nobody ends is easily overlooked."""
    if sys.stdin is None or sys.stdin.isatty():
        return ""
    waiting = threading.Timer(
        _REMARK_AFTER_S, remark, ["reading stdin to its end, because it is no terminal; '</dev/null' gives it nothing."]
    )
    waiting.daemon = True
    waiting.start()
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UsageError("stdin is not UTF-8 text; attach what is none with --file.") from error
    except (OSError, ValueError, io.UnsupportedOperation):
        return ""  # it is closed
    finally:
        waiting.cancel()


def _file_part(path: Path) -> Json:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"--file: {path} is not a file.")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"--file: {path} cannot be read: {error.strerror}.") from error
    mime = mimetypes.guess_type(path.name)[0] or _mime_by_content(content)
    url = f"data:{mime};base64,{base64.b64encode(content).decode('ascii')}"
    name = path.name.encode("utf-8", "replace").decode()
    return {"type": "file", "mime": mime, "filename": name, "url": url}


def _mime_by_content(content: bytes) -> str:
    head = content[:_SNIFFED]
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # the last character may be cut
            return _ANYTHING
    return _ANYTHING if b"\0" in head else _TEXT


def _check_size(files: Sequence[Path], parts: Sequence[Json], text_bytes: int, most_bytes: int) -> None:
    total = text_bytes + sum(len(part["url"]) for part in parts)
    if total > most_bytes:
        what = "the prompt is" if not files else f"--file: {', '.join(str(path) for path in files)} and the text are"
        most = _mebibytes(most_bytes)
        raise UsageError(f"{what} {_mebibytes(total)} as they are sent; the most is {most} (PROMPTQ_BODY_LIMIT).")


def _mebibytes(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MiB"
