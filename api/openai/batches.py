"""The routes of batches."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import Field
from starlette.responses import StreamingResponse

from api.calls import Call, Caller, idempotency_key, json_body, no_body
from api.openai.calls import NoQuery, OpenAIQuery, batches_of
from api.openai.files import listed
from api.openai.shapes import batch_shape
from api.replies import reply
from domain.batches import life
from domain.batches.batch import Progress
from domain.errors import InvalidRequest, StoreUnavailable
from domain.ids import SESSION_NAMESPACE
from domain.requests.batches import BatchId, ChangeBatch, CreateBatch
from storage.batches import Batches, Landmarks, Listing

router = APIRouter(prefix="/v1/batches", include_in_schema=False)

FOLLOW_S = 0.25
"""Between two looks at what has been completed."""

LINES_AT_ONCE = 500

BatchPath = Annotated[BatchId, Path(alias="batchID")]
CreateBody = Annotated[CreateBatch, Depends(json_body(CreateBatch))]
ChangeBody = Annotated[ChangeBatch, Depends(json_body(ChangeBatch))]


class BatchList(OpenAIQuery):
    """Which batches to list."""

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: BatchId | None = None


class OutputWish(OpenAIQuery):
    """How to read the output of a batch."""

    follow: bool = False


@router.post("")
def create_batch(call: Caller, where: NoQuery, wanted: CreateBody) -> Response:
    """Keep a batch, to be run. The same ID and the same file again: the same batch."""
    batches = batches_of(call)
    key = idempotency_key(call.request)
    name = None if key is None else f"batch_{uuid.uuid5(SESSION_NAMESPACE, key).hex}"
    batch = wanted.batch(call.tenant, call.means.terms.catalog, name=name)
    file = batches.file(call.tenant, wanted.input_file_id)
    if file.purpose != "batch" or file.kind != "stored":
        raise InvalidRequest("input_file_id: names a file that is not for batches", field="input_file_id")
    if batch.request.base is not None:
        _check_base(batches, call.tenant, batch.request.base)
    kept, is_new = batches.create(batch)
    if is_new:
        call.means.bell.ring()
    return _shown(call, kept.id)


def _check_base(batches: Batches, tenant: str, base: str) -> None:
    state = batches.progress(tenant, base).batch.state
    if state.is_active:
        raise InvalidRequest(f"base: batch {base} is {state}; only one that has ended can be built on", field="base")


@router.get("")
def list_batches(call: Caller, which: Annotated[BatchList, Query()]) -> Response:
    """List batches, the newest first."""
    found = batches_of(call).listed(call.tenant, Listing(which.limit + 1, which.after))
    shapes = [batch_shape(progress) for progress in found[: which.limit]]
    return reply(listed(shapes, has_more=len(found) > which.limit))


@router.get("/{batchID}")
def get_batch(call: Caller, batch_id: BatchPath, where: NoQuery) -> Response:
    """Return a batch, with exact counts."""
    return _shown(call, batch_id)


@router.post("/{batchID}")
def change_batch(call: Caller, batch_id: BatchPath, where: NoQuery, wanted: ChangeBody) -> Response:
    """Give a batch another priority."""
    batches_of(call).reprioritise(call.tenant, batch_id, wanted.priority)
    return _rung(call, batch_id)


@router.post("/{batchID}/cancel", dependencies=[Depends(no_body)])
def cancel_batch(call: Caller, batch_id: BatchPath, where: NoQuery) -> Response:
    """End what has not ended: what waits is not started, what runs is stopped."""
    batches_of(call).change(call.tenant, batch_id, life.cancel)
    return _rung(call, batch_id)


@router.post("/{batchID}/pause", dependencies=[Depends(no_body)])
def pause_batch(call: Caller, batch_id: BatchPath, where: NoQuery) -> Response:
    """Start no more lines; those that run go on."""
    batches_of(call).change(call.tenant, batch_id, life.pause)
    return _rung(call, batch_id)


@router.post("/{batchID}/resume", dependencies=[Depends(no_body)])
def resume_batch(call: Caller, batch_id: BatchPath, where: NoQuery) -> Response:
    """Start lines again."""
    batches_of(call).change(call.tenant, batch_id, life.resume)
    return _rung(call, batch_id)


@router.post("/{batchID}/retry", dependencies=[Depends(no_body)])
def retry_batch(call: Caller, batch_id: BatchPath, where: NoQuery) -> Response:
    """Run the lines again that did not succeed."""
    batches_of(call).retry(call.tenant, batch_id)
    return _rung(call, batch_id)


@router.get("/{batchID}/output")
def get_output(call: Caller, batch_id: BatchPath, which: Annotated[OutputWish, Query()]) -> Response:
    """Return the lines that have ended, in the order of their completion; go on with those that end, if asked to."""
    batches_of(call).progress(call.tenant, batch_id)
    return StreamingResponse(_completed(call, batch_id, follow=which.follow), media_type="application/jsonl")


async def _completed(call: Call, batch_id: str, *, follow: bool) -> AsyncIterator[bytes]:
    batches = batches_of(call)
    at = Landmarks()
    while True:
        try:
            # The batch before its lines: when it has ended, all of them are there.
            progress: Progress = await call.means.aside(batches.progress, call.tenant, batch_id)
            landmarks = await call.means.aside(batches.landmarks, call.tenant, batch_id)
            while at != landmarks:
                until = _next(at, landmarks)
                lines = await call.means.aside(batches.completed, call.tenant, batch_id, at, until, LINES_AT_ONCE)
                at = until
                if lines:
                    yield b"".join(line.encode() + b"\n" for line in lines)
        except StoreUnavailable:
            if not follow:
                raise
        else:
            if not follow or not progress.batch.state.is_active:
                return
        await asyncio.sleep(FOLLOW_S)


def _next(at: Landmarks, end: Landmarks) -> Landmarks:
    """Go on by as many places as are read at once."""
    return Landmarks(
        {shard: min(place, at.places.get(shard, 0) + LINES_AT_ONCE) for shard, place in end.places.items()}
    )


def _rung(call: Call, batch_id: str) -> Response:
    call.means.bell.ring()
    return _shown(call, batch_id)


def _shown(call: Call, batch_id: str) -> Response:
    return reply(batch_shape(batches_of(call).progress(call.tenant, batch_id)))
