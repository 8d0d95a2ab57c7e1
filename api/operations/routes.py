"""The operator's routes. No tenant's key opens them: they are of all tenants together."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response

from api.calls import Caller, Where, operator_only
from api.operations.status import StatusShape, status_of
from api.replies import reply
from domain.exposition import CONTENT_TYPE

router = APIRouter(tags=["operations"], dependencies=[Depends(operator_only)])

_TEXT = {"description": "Figures", "content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get("/metrics", response_class=Response, responses={200: _TEXT})
def metrics(call: Caller, where: Where) -> Response:
    """Return figures as Prometheus reads them: of this API, of the store, and of workers that report theirs."""
    return Response(call.means.operations.text(), media_type=CONTENT_TYPE)


@router.get("/status", response_model=StatusShape)
def status(call: Caller, where: Where) -> Response:
    """Return how the fleet is: workers, slots, what waits for what. No content."""
    return reply(status_of(call.means.operations))
