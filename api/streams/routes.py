"""The routes of events."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.calls import Call, LeanRoute, location_of
from api.document import stream_parameters
from api.opencode.courtesy import courtesy_of
from api.streams.clients import Client, EventStream
from api.streams.rendering import Kind
from domain.errors import InvalidRequest
from domain.ids import check_session_id
from storage.notices.history import Seen

LAST_EVENT = "Last-Event-ID"


class _Described(Response):
    """What the document says of the answers."""

    media_type = EventStream.media_type


router = APIRouter(tags=["event"], route_class=LeanRoute, default_response_class=_Described)


@router.get("/event", openapi_extra=stream_parameters())
async def subscribe(request: Request) -> Response:
    """Stream what happens in the caller's sessions, from now on."""
    return await _stream_of_all(request, Kind.PLAIN)


@router.get("/global/event", openapi_extra=stream_parameters())
async def subscribe_globally(request: Request) -> Response:
    """Stream the same, each event with the directory of its session."""
    return await _stream_of_all(request, Kind.WRAPPED)


@router.get("/session/{sessionID}/event", openapi_extra=stream_parameters(session=True))
async def follow_session(request: Request) -> Response:
    """Stream what happens in one session: from now on, or from what `Last-Event-ID` names.

    A prompt that runs is told from its beginning. If what was missed is not kept any more, there is an event `gap`, and
    after it the session as it is.
    """
    location_of(request)
    call = Call(request)
    session_id = check_session_id(request.path_params["sessionID"])
    seen = _seen(request)
    session = await call.means.aside(call.means.store.session, call.tenant, session_id)
    client = Client(call.tenant, Kind.NAMED, session_id)
    return EventStream(client, await call.means.joining.session(client, session, seen))


async def _stream_of_all(request: Request, kind: Kind) -> Response:
    location_of(request)
    call = Call(request)
    client = Client(call.tenant, kind, only_ephemeral=call.is_ephemeral_only)
    return EventStream(client, await courtesy_of(request).stream(call, call.means.joining.whole(client)))


def _seen(request: Request) -> Seen | None:
    """Read the header `Last-Event-ID`.

    Raises:
        InvalidRequest: it is none that this server gave.
    """
    name = request.headers.get(LAST_EVENT)
    if name is None:
        return None
    seen = Seen.parse(name)
    if seen is None:
        raise InvalidRequest(f"{LAST_EVENT}: is not an event of a session's stream of this server", field=LAST_EVENT)
    return seen
