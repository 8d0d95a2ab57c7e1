"""The routes of events."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.calls import Call, LeanRoute, location_of
from api.document import stream_parameters
from api.streams.clients import Client, EventStream
from api.streams.hub import Kind
from api.streams.rendering import encoded, framed, wrap
from domain import events
from domain.ids import check_session_id


class _Described(Response):
    """What the document says of the answers."""

    media_type = EventStream.media_type


router = APIRouter(tags=["event"], route_class=LeanRoute, default_response_class=_Described)


@router.get("/event", openapi_extra=stream_parameters())
async def subscribe(request: Request) -> Response:
    """Stream what happens in the caller's sessions, from now on."""
    location_of(request)
    return await _stream(Call(request), Kind.PLAIN)


@router.get("/global/event", openapi_extra=stream_parameters())
async def subscribe_globally(request: Request) -> Response:
    """Stream the same, each event with the directory of its session."""
    location_of(request)
    return await _stream(Call(request), Kind.WRAPPED)


@router.get("/session/{sessionID}/event", openapi_extra=stream_parameters(session=True))
async def follow_session(request: Request) -> Response:
    """Stream what happens in one session; after `Last-Event-ID`, what was missed first."""
    location_of(request)
    call = Call(request)
    session_id = check_session_id(request.path_params["sessionID"])
    await call.means.aside(call.means.store.session, call.tenant, session_id)
    return await _stream(call, Kind.NAMED, session_id)


async def _stream(call: Call, kind: Kind, session_id: str | None = None) -> Response:
    hub = call.means.hub
    client = Client(call.tenant, session_id)
    line = encoded(events.connected())
    client.put(wrap({}, [line]) if kind is Kind.WRAPPED else framed(line))
    leave = hub.join(client, kind)
    try:
        await hub.prepare(client)
    except BaseException:
        leave(client)
        raise
    return EventStream(client, leave)
