"""The routes of jobs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BeforeValidator, Field

from api import cursors
from api.calls import Call, Caller, JobPath, Location, Page, Where, idempotency_key, no_body
from api.document import ADMITTED, key_parameter
from api.job_shapes import JobShape, job_shape
from api.replies import reply
from api.waiters import ClientGoneError, unless_gone
from domain.clock import system_clock
from domain.jobs import Job, State
from domain.requests.fields import SessionId, no_nul
from storage.base import JobQuery

router = APIRouter(tags=["job"])


def _states(value: object) -> object:
    """Split `queued,running`."""
    if isinstance(value, list):
        return [word for item in value for word in str(item).split(",")]
    return value


class JobList(Page):
    """Which jobs to list."""

    state: Annotated[list[State], BeforeValidator(_states)] = Field(default_factory=list)
    sessionID: SessionId | None = None  # noqa: N815 - as OpenCode writes names
    batchID: Annotated[str, Field(max_length=256), AfterValidator(no_nul)] | None = None  # noqa: N815
    ephemeral: bool = False


class JobWait(Location):
    """How long to wait, in seconds."""

    timeout: Annotated[float, Field(ge=0, le=300, allow_inf_nan=False)] = 30


@router.get("/job", response_model=list[JobShape])
def list_jobs(call: Caller, which: Annotated[JobList, Query()]) -> Response:
    """List jobs, the newest first."""
    query = JobQuery(
        limit=which.limit + 1,
        after=cursors.read(which.cursor),
        states=frozenset(which.state),
        session_id=which.sessionID,
        batch_id=which.batchID,
        ephemeral=which.ephemeral or call.is_ephemeral_only,
    )
    found, headers = cursors.page(
        call.means.store.jobs(call.tenant, query), which.limit, lambda job: (job.created, job.id), call.request
    )
    now = system_clock()
    return reply([job_shape(job, None, now) for job in found], headers=headers)


@router.get("/job/{jobID}", response_model=JobShape)
def get_job(call: Caller, job_id: JobPath, where: Where) -> Response:
    """Return a job."""
    return _shown(call, call.means.store.job(call.tenant, job_id))


@router.get("/job/{jobID}/wait", response_model=JobShape)
async def wait_for_job(request: Request, call: Caller, job_id: JobPath, which: Annotated[JobWait, Query()]) -> Response:
    """Return a job once it has ended, or as it is after `timeout` seconds."""
    try:
        job = await unless_gone(request, call.means.waiters.wait_for(call.tenant, job_id, which.timeout))
    except ClientGoneError:
        return Response(status_code=204)  # nobody reads it
    if not job.state.is_open:
        return _shown(call, job)
    return await call.means.aside(_shown, call, job)


@router.post("/job/{jobID}/cancel", response_model=JobShape, dependencies=[Depends(no_body)])
def cancel_job(call: Caller, job_id: JobPath, where: Where) -> Response:
    """Ask a job to end: a queued one ends at once, a running one soon; one that has ended stays as it is."""
    cancelling = call.means.store.cancel_job(call.tenant, job_id)
    call.means.ended(cancelling.ended)
    return _shown(call, cancelling.jobs[0])


@router.post(
    "/job/{jobID}/retry",
    response_model=JobShape,
    status_code=201,
    dependencies=[Depends(no_body)],
    responses={201: ADMITTED},
    openapi_extra=key_parameter(),
)
def retry_job(call: Caller, job_id: JobPath, where: Where) -> Response:
    """Admit a new job, at the tail of the session, that repeats one that ended without success."""
    store = call.means.store
    admission = store.retry_job(call.tenant, job_id, idempotency_key=idempotency_key(call.request))
    call.means.admitted(admission)
    job = admission.job or store.job(call.tenant, admission.message.job_id or "")
    shape = job_shape(job, store.head(job), system_clock())
    return reply(shape, 201, {"Location": f"/job/{job.id}", "Promptq-Session": "resumed"})


def _shown(call: Call, job: Job) -> Response:
    """Answer with a job and, if it is queued behind others, which one it waits for."""
    head = call.means.store.head(job) if job.state is State.QUEUED and job.ready_at is None else None
    return reply(job_shape(job, head, system_clock()))
