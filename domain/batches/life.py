"""What may become of a batch: values in, values out. A keeper asks under the batch's lock, and writes the answer."""

from __future__ import annotations

from collections.abc import Callable

from domain.batches.batch import Batch, BatchState, File, Tally
from domain.batches.lines import START
from domain.batches.validation import Findings
from domain.clock import Millis
from domain.errors import Conflict
from domain.ids import new_file_id

DAY_MS: Millis = 86_400_000

OUTPUT_TTL_MS: Millis = 30 * DAY_MS
EPHEMERAL_OUTPUT_TTL_MS: Millis = DAY_MS
"""How long an output with answers of ephemeral lines is kept: nobody can have it kept longer."""


class BatchNotReady(Conflict):
    """The batch is not in a state in which this can be done."""


class BatchDiffers(Conflict):
    """The ID names a batch of another file, or with other parameters."""

    def __init__(self, batch_id: str, fields: list[str]) -> None:
        super().__init__(f"batch {batch_id} exists with another {', '.join(fields)}", fields=fields)


Decide = Callable[[Batch, Millis], Batch]
"""Decides what a batch becomes at a time; the same object if nothing is to be changed."""


def begin(batch: Batch, findings: Findings, now: Millis) -> Batch:
    """Go on after the file was read: run its lines, or none of them."""
    if batch.state is not BatchState.VALIDATING:
        return batch
    found = batch.evolve(
        total=findings.total,
        invalid=findings.invalid,
        has_ephemeral=findings.has_ephemeral,
        errors=findings.errors,
    )
    if not findings.total or (findings.invalid and not batch.request.skip_invalid):
        return found.evolve(state=BatchState.FAILED, ended_at=now, total=0)
    return found.evolve(state=BatchState.IN_PROGRESS, in_progress_at=now)


def cancel(batch: Batch, now: Millis) -> Batch:
    """End what has not ended, at its caller's wish. Asking again changes nothing.

    Raises:
        BatchNotReady: it has ended otherwise.
    """
    if batch.state in (BatchState.CANCELLING, BatchState.CANCELLED):
        return batch
    return _close(_active(batch, "cancelled"), BatchState.CANCELLED, now)


def expire(batch: Batch, now: Millis) -> Batch:
    """End what has not ended when the window is over."""
    if not batch.state.is_active or batch.state is BatchState.CANCELLING or now < batch.expires:
        return batch
    return _close(batch, BatchState.EXPIRED, now)


def _close(batch: Batch, ending: BatchState, now: Millis) -> Batch:
    closing = batch.evolve(ending=ending, cancelling_at=now if ending is BatchState.CANCELLED else None, paused=False)
    if batch.state is BatchState.VALIDATING:
        return closing.evolve(state=ending, ended_at=now)
    return closing.evolve(state=BatchState.CANCELLING)


def settle(batch: Batch, tally: Tally, now: Millis) -> Batch:
    """End a batch all of whose lines have their outcome."""
    is_running = batch.state in (BatchState.IN_PROGRESS, BatchState.CANCELLING)
    if not is_running or batch.passed < batch.total or tally.ended < batch.total:
        return batch
    return batch.evolve(
        state=batch.ending or BatchState.COMPLETED,
        ended_at=now,
        output_file_id=new_file_id() if tally.succeeded else None,
        error_file_id=new_file_id() if tally.ended > tally.succeeded else None,
    )


def outputs(batch: Batch, tally: Tally, now: Millis) -> list[File]:
    """Return the files of a batch that has just ended."""
    ttl_ms = batch.request.output_ttl_ms or OUTPUT_TTL_MS
    if batch.has_ephemeral:
        ttl_ms = min(ttl_ms, EPHEMERAL_OUTPUT_TTL_MS)
    file = File(
        tenant=batch.tenant,
        id="",
        name="",
        purpose="batch_output",
        created=now,
        expires=now + ttl_ms,
        state="ready",
        batch_id=batch.id,
    )
    made = []
    if batch.output_file_id is not None:
        name = f"{batch.id}_output.jsonl"
        made.append(file.evolve(id=batch.output_file_id, name=name, kind="output", size=tally.output_size))
    if batch.error_file_id is not None:
        name = f"{batch.id}_error.jsonl"
        made.append(file.evolve(id=batch.error_file_id, name=name, kind="error", size=tally.error_size))
    return made


def pause(batch: Batch, _now: Millis) -> Batch:
    """Start no more lines; those that run go on.

    Raises:
        BatchNotReady: it has ended, or is being ended.
    """
    return batch if batch.paused else _going(batch, "paused").evolve(paused=True)


def resume(batch: Batch, _now: Millis) -> Batch:
    """Start lines again.

    Raises:
        BatchNotReady: it has ended, or is being ended.
    """
    return _going(batch, "resumed").evolve(paused=False) if batch.paused else batch


def retry(batch: Batch, now: Millis) -> Batch:
    """Run again what did not succeed, in a window that begins now. Its keeper takes the outcomes of these lines away.

    Raises:
        BatchNotReady: it is still at work, or never ran.
    """
    if batch.state.is_active or batch.state is BatchState.FAILED:
        raise BatchNotReady(f"batch {batch.id} is {batch.state}; only one that has ended can be retried")
    return batch.evolve(
        state=BatchState.IN_PROGRESS,
        run=batch.run + 1,
        ending=None,
        cancelling_at=None,
        ended_at=None,
        expires=now + batch.request.window_ms,
        place=START,
        passed=0,
        output_file_id=None,
        error_file_id=None,
    )


def _active(batch: Batch, done: str) -> Batch:
    if not batch.state.is_active:
        raise BatchNotReady(f"batch {batch.id} is {batch.state}, and cannot be {done}")
    return batch


def _going(batch: Batch, done: str) -> Batch:
    if batch.state is BatchState.CANCELLING:
        raise BatchNotReady(f"batch {batch.id} is {batch.state}, and cannot be {done}")
    return _active(batch, done)


def differing(batch: Batch, made: Batch) -> list[str]:
    """List, by their API names and sorted, the parameters in which a repeated creation differs from the batch."""
    kept, given = batch.request, made.request
    pairs = {
        "base": (kept.base, given.base),
        "completion_window": (kept.completion_window, given.completion_window),
        "endpoint": (kept.endpoint, given.endpoint),
        "ephemeral": (kept.defaults.ephemeral, given.defaults.ephemeral),
        "input_file_id": (batch.input_digest, made.input_digest),
        "max_attempts": (kept.defaults.max_attempts, given.defaults.max_attempts),
        "model": (kept.defaults.model, given.defaults.model),
        "skip_invalid": (kept.skip_invalid, given.skip_invalid),
        "timeout": (kept.defaults.timeout_ms, given.defaults.timeout_ms),
    }
    return [name for name, (one, other) in pairs.items() if one != other]
