"""Batches as callers see them."""

from __future__ import annotations

from typing import Any

from domain.batches.batch import Batch, BatchState, LineError, Progress
from domain.batches.results import seconds
from domain.clock import Millis
from domain.messages import Usage


def batch_shape(progress: Progress) -> dict[str, Any]:
    """Write a batch as OpenAI does, with promptq's own fields after OpenAI's."""
    batch, tally = progress.batch, progress.tally
    request = batch.request
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": request.endpoint,
        "errors": {"object": "list", "data": [_error(error) for error in batch.errors]} if batch.errors else None,
        "input_file_id": request.input_file_id,
        "completion_window": request.completion_window,
        "status": batch.state.value,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": seconds(batch.created),
        "in_progress_at": _time(batch.in_progress_at),
        "expires_at": seconds(batch.expires),
        "finalizing_at": _time(_finalizing_at(batch)),
        "completed_at": _ended(batch, BatchState.COMPLETED),
        "failed_at": _ended(batch, BatchState.FAILED),
        "expired_at": _ended(batch, BatchState.EXPIRED),
        "cancelling_at": _time(batch.cancelling_at),
        "cancelled_at": _ended(batch, BatchState.CANCELLED),
        "request_counts": {
            "total": batch.total,
            "completed": tally.succeeded,
            "failed": tally.ended - tally.succeeded,
        },
        "metadata": request.metadata,
        "model": request.defaults.model,
        "usage": usage_shape(tally.usage),
        "counts": {
            "waiting": max(0, batch.total - tally.ended - progress.open),
            "queued": max(0, progress.open - progress.running),
            "running": progress.running,
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "cancelled": tally.cancelled,
            "expired": tally.expired,
        },
        "cost": tally.cost,
        "priority": batch.priority,
        "paused": batch.paused,
        "run": batch.run,
        "base": request.base,
        "ephemeral": batch.has_ephemeral,
        "skip_invalid": request.skip_invalid,
        "max_in_flight": request.max_in_flight,
    }


def usage_shape(usage: Usage) -> dict[str, Any]:
    """Write token counts as OpenAI's batches do."""
    given = usage.input + usage.cache_read + usage.cache_write
    answered = usage.output + usage.reasoning
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": usage.cache_read},
        "output_tokens": answered,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": given + answered,
    }


def _error(error: LineError) -> dict[str, Any]:
    return {"code": error.code, "line": error.line, "message": error.message, "param": error.field}


def _time(at: Millis | None) -> int | None:
    return None if at is None else seconds(at)


def _ended(batch: Batch, state: BatchState) -> int | None:
    return _time(batch.ended_at) if batch.state is state else None


def _finalizing_at(batch: Batch) -> Millis | None:
    """Of a batch that put something out: that took no time."""
    return batch.ended_at if batch.output_file_id or batch.error_file_id else None
