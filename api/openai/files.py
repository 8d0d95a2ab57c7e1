"""The routes of files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from starlette.responses import StreamingResponse

from api.calls import Call, Caller
from api.openai.calls import NoQuery, OpenAIQuery, batches_of, check_seconds
from api.openai.uploads import take_file
from api.replies import reply
from domain.batches.batch import File
from domain.batches.results import seconds
from domain.clock import millis
from domain.errors import InvalidRequest
from storage.batches import Listing

router = APIRouter(prefix="/v1/files", include_in_schema=False)

PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
"""What OpenAI's clients may say that a file is for. Only `batch` is used for anything."""

FILE_TTL_S = 30 * 86_400

_FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")


def _file_id(text: str) -> str:
    if not text.startswith("file-") or not text.isascii() or not text.isprintable():
        raise PydanticCustomError("id", "must begin with 'file-'")
    return text


FileId = Annotated[str, Field(max_length=128), AfterValidator(_file_id)]
FilePath = Annotated[FileId, Path(alias="fileID")]


class FileList(OpenAIQuery):
    """Which files to list."""

    purpose: str | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 10_000
    order: Literal["asc", "desc"] = "desc"
    after: FileId | None = None


@router.post("")
async def create_file(request: Request, call: Caller, where: NoQuery) -> Response:
    """Take a file in."""
    batches = batches_of(call)
    file, fields = await take_file(request, call.means, batches, call.tenant)
    try:
        purpose, ttl_s = _terms(fields)
    except InvalidRequest:
        call.means.threads.submit(batches.abandon_file, file)
        raise
    finished = await call.means.aside(batches.finish_file, file.evolve(purpose=purpose), millis(ttl_s))
    return reply(file_shape(finished))


def _terms(fields: Mapping[str, str]) -> tuple[str, float]:
    """Read what a form says besides its file: the purpose, and how long to keep it."""
    for name in fields:
        if name not in _FIELDS:
            raise InvalidRequest(f"{name}: unknown field", field=name)
    purpose = fields.get("purpose")
    if purpose not in PURPOSES:
        raise InvalidRequest(f"purpose: must be one of {', '.join(PURPOSES)}", field="purpose")
    anchor, given = fields.get(_FIELDS[1]), fields.get(_FIELDS[2])
    if anchor is None and given is None:
        return purpose, FILE_TTL_S
    if anchor != "created_at":
        raise InvalidRequest("expires_after.anchor: must be created_at", field="expires_after.anchor")
    return purpose, check_seconds(given, "expires_after.seconds")


@router.get("")
def list_files(call: Caller, which: Annotated[FileList, Query()]) -> Response:
    """List files, the newest first."""
    query = Listing(which.limit + 1, which.after, which.order == "asc", which.purpose)
    found = batches_of(call).files(call.tenant, query)
    return reply(listed([file_shape(file) for file in found[: which.limit]], has_more=len(found) > which.limit))


@router.get("/{fileID}")
def get_file(call: Caller, file_id: FilePath, where: NoQuery) -> Response:
    """Return a file's description."""
    return reply(file_shape(batches_of(call).file(call.tenant, file_id)))


@router.delete("/{fileID}")
def delete_file(call: Caller, file_id: FilePath, where: NoQuery) -> Response:
    """Take a file away. A batch that reads it goes on."""
    batches_of(call).delete_file(call.tenant, file_id)
    return reply({"id": file_id, "object": "file", "deleted": True})


@router.get("/{fileID}/content")
def get_content(call: Caller, file_id: FilePath, where: NoQuery) -> Response:
    """Return a file's bytes."""
    file = batches_of(call).file(call.tenant, file_id)
    headers = {"Content-Length": str(file.size)}
    return StreamingResponse(_bytes_of(call, file), media_type="application/octet-stream", headers=headers)


def _bytes_of(call: Call, file: File) -> Iterator[bytes]:
    if file.kind == "stored":
        return batches_of(call).parts(file.tenant, file.id)
    return batches_of(call).output(file.tenant, file.batch_id or "", file.kind)


def file_shape(file: File) -> dict[str, Any]:
    """Write a file as OpenAI does."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": seconds(file.created),
        "expires_at": None if file.expires is None else seconds(file.expires),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def listed(shapes: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Write a page of a list as OpenAI does."""
    ends = {"first_id": shapes[0]["id"] if shapes else None, "last_id": shapes[-1]["id"] if shapes else None}
    return {"object": "list", "data": shapes, **ends, "has_more": has_more}
