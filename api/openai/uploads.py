"""Takes an uploaded file in, piece by piece: no more of it is ever held than two pieces."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from python_multipart import multipart
from python_multipart.exceptions import FormParserError

from api.errors import BodyTooLarge
from api.means import Means
from domain.batches.batch import File
from domain.errors import InvalidRequest
from domain.ids import new_file_id
from storage.batches import Batches

PIECE = 1024 * 1024
"""Bytes that are kept at a time."""

LONGEST_FIELD = 64 * 1024

_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 31


class _Form:
    """The parts of a form as they come: fields whole, the file as what has come of it since it was asked for."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        #: The file's name, once the file has begun.
        self.filename: str | None = None
        self.came = bytearray()
        self._is_over = False
        self._name = ""
        self._is_file = False
        self._key = bytearray()
        self._value = bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._field = bytearray()
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_header_field": lambda data, start, end: self._key.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_end": self._over,
        }
        self._parser = multipart.MultipartParser(boundary, callbacks)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            InvalidRequest: they are no form, or a form of something else.
        """
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidRequest(f"the body is not multipart/form-data: {error}") from error

    def check_over(self) -> None:
        """Return if the form was whole.

        Raises:
            InvalidRequest: it ends in the middle.
        """
        if not self._is_over:
            raise InvalidRequest("the body ends in the middle of the form")

    def _begin(self) -> None:
        self._headers = {}
        self._field = bytearray()

    def _header_end(self) -> None:
        self._headers[bytes(self._key).lower()] = bytes(self._value)
        self._key, self._value = bytearray(), bytearray()

    def _headers_end(self) -> None:
        _, options = multipart.parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._name == "file"
        if self._is_file:
            if self.filename is not None:
                raise InvalidRequest("file: comes twice", field="file")
            self.filename = options.get(b"filename", b"upload").decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.came += data[start:end]
            return
        self._field += data[start:end]
        if len(self._field) > LONGEST_FIELD:
            raise InvalidRequest(f"{self._name}: is too long", field=self._name)

    def _end(self) -> None:
        if self._is_file:
            return
        if self._name in self.fields:
            raise InvalidRequest(f"{self._name}: comes twice", field=self._name)
        try:
            self.fields[self._name] = bytes(self._field).decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{self._name}: is not UTF-8", field=self._name) from None

    def _over(self) -> None:
        self._is_over = True


class _Intake:
    """Keeps what comes of a file, decompressed if it is compressed. For one thread at a time."""

    def __init__(self, batches: Batches, file: File, limit: int) -> None:
        self.file = file
        self._batches = batches
        self._limit = limit
        self._digest = hashlib.sha256()
        self._size = 0
        self._held = bytearray()
        self._inflating: Any = None
        #: What came first, until it is known whether that is compressed.
        self._begun: bytes | None = b""

    def take(self, came: bytes) -> None:
        """Take the next bytes.

        Raises:
            InvalidRequest: they cannot be decompressed.
            BodyTooLarge: the file is longer than this server takes.
        """
        if self._begun is not None:
            came = self._begun + came
            if len(came) < len(_GZIP):
                self._begun = came
                return
            self._begun = None
            if came.startswith(_GZIP):
                self._inflating = zlib.decompressobj(_GZIP_WINDOW)
        if self._inflating is None:
            self._add(came)
        else:
            self._inflate(came)

    def finish(self) -> File:
        """Keep the rest; returns the file with its size and digest.

        Raises:
            InvalidRequest: a compressed file ends in the middle.
        """
        if self._begun:
            self._add(self._begun)
        if self._inflating is not None and not self._inflating.eof:
            raise InvalidRequest("file: is compressed, and ends in the middle", field="file")
        if self._held:
            self._keep(len(self._held))
        return self.file.evolve(size=self._size, digest=self._digest.hexdigest())

    def _inflate(self, came: bytes) -> None:
        try:
            while came:
                if self._inflating.eof:  # several compressed one after another are one
                    self._inflating = zlib.decompressobj(_GZIP_WINDOW)
                self._add(self._inflating.decompress(came, PIECE))
                came = self._inflating.unconsumed_tail or self._inflating.unused_data
        except zlib.error as error:
            raise InvalidRequest("file: cannot be decompressed", field="file") from error

    def _add(self, piece: bytes) -> None:
        if self._size + len(self._held) + len(piece) > self._limit:
            raise BodyTooLarge(self._limit)
        self._held += piece
        while len(self._held) >= PIECE:
            self._keep(PIECE)

    def _keep(self, size: int) -> None:
        piece = bytes(self._held[:size])
        del self._held[:size]
        self._batches.add_part(self.file.tenant, self.file.id, self._size, piece)
        self._digest.update(piece)
        self._size += size


async def take_file(request: Request, means: Means, batches: Batches, tenant: str) -> tuple[File, Mapping[str, str]]:
    """Take a form with a file in; returns the file as it is kept, not yet there for anybody, and the other fields.

    Raises:
        InvalidRequest: the body is no such form.
        BodyTooLarge: the file is longer than this server takes.
    """
    form = _Form(_boundary(request))
    chunks = request.stream()
    async for chunk in chunks:
        form.feed(chunk)
        if form.filename is not None:
            break
    if form.filename is None:
        raise InvalidRequest("file: is required", field="file")
    begun = await means.aside(batches.begin_file, tenant, new_file_id())
    intake = _Intake(batches, begun, means.file_limit)
    try:
        async for chunk in chunks:
            form.feed(chunk)
            if len(form.came) >= PIECE:
                came, form.came = bytes(form.came), bytearray()
                await means.aside(intake.take, came)
        await means.aside(intake.take, bytes(form.came))
        file = await means.aside(intake.finish)
        form.check_over()
    except BaseException:
        means.threads.submit(batches.abandon_file, begun)
        raise
    return file.evolve(name=_name_of(form.filename)), form.fields


def _boundary(request: Request) -> bytes:
    kind, options = multipart.parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise InvalidRequest("Content-Type: must be multipart/form-data, with a boundary", field="Content-Type")
    return options[b"boundary"]


def _name_of(filename: str) -> str:
    """Return a file's name without its directories, and without what cannot be kept or shown."""
    last = filename.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable())[:255] or "upload"
