"""The routes of sessions and of the messages in them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AfterValidator, Field

from api import cursors
from api.calls import Call, Caller, Location, MessagePath, Page, SessionPath, Where, json_body, no_body
from api.document import body
from api.opencode.offer import offer_of
from api.opencode.view import of_view
from api.replies import reply
from domain.errors import InvalidRequest, SessionNotFound
from domain.ids import is_ephemeral
from domain.requests.fields import LATEST, no_nul
from domain.requests.sessions import CreateSession, ForkSession, UpdateSession
from domain.shapes import MessageShape, SessionShape, StatusShape, message_shape, session_shape, status_shape
from storage.base import SessionQuery

router = APIRouter(tags=["session"])

MOST_MESSAGES = 100_000
"""Messages in one page, whatever the limit says."""

CreateBody = Annotated[CreateSession, Depends(json_body(CreateSession, optional=True))]
UpdateBody = Annotated[UpdateSession, Depends(json_body(UpdateSession))]
ForkBody = Annotated[ForkSession, Depends(json_body(ForkSession, optional=True))]


class SessionList(Page):
    """Which sessions to list. `scope` and `path` choose between projects in OpenCode; here there is one."""

    roots: bool = False
    start: Annotated[float, Field(ge=0, le=LATEST)] | None = None
    search: Annotated[str, Field(max_length=4096), AfterValidator(no_nul)] | None = None
    scope: Literal["project"] | None = None
    path: str | None = None
    ephemeral: bool = False


class ChildList(Page):
    """Which children to list."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 1000


class MessageList(Location):
    """Which messages to list: all, or the latest `limit` of those before a cursor."""

    limit: Annotated[int, Field(ge=0, le=LATEST)] = 0
    before: str | None = None


@router.post("/session", response_model=SessionShape, openapi_extra=body(CreateSession, required=False))
def create_session(call: Caller, where: Where, wanted: CreateBody) -> Response:
    """Create a session, or return the one that is there."""
    if call.is_ephemeral_only:
        wanted = wanted.ephemeral_only()
    creation = wanted.creation(
        catalog=call.means.terms.catalog, directory=call.directory(where), workspace=where.workspace
    )
    if call.is_ephemeral_only:
        creation = of_view(creation, offer_of(call.request).run_ttl_ms)
    session, created = call.means.store.create_session(call.tenant, creation)
    if created:
        call.means.announcer.created(session)
    return reply(session_shape(session), headers={"Promptq-Session": "created" if created else "resumed"})


@router.get("/session", response_model=list[SessionShape])
def list_sessions(call: Caller, which: Annotated[SessionList, Query()]) -> Response:
    """List sessions, the latest updated first."""
    query = SessionQuery(
        since=None if which.start is None else int(which.start),
        search=which.search or None,
        roots=which.roots,
        ephemeral=which.ephemeral or call.is_ephemeral_only,
    )
    return _list(call, query, which)


@router.get("/session/status", response_model=dict[str, StatusShape])
def list_statuses(call: Caller, where: Where) -> Response:
    """Tell what the sessions that have open jobs are doing; the others are idle."""
    busy = call.means.store.busy_sessions(call.tenant)
    return reply(
        {name: status_shape(head) for name, head in busy.items() if is_ephemeral(name) or not call.is_ephemeral_only}
    )


@router.get("/session/{sessionID}", response_model=SessionShape)
def get_session(call: Caller, session_id: SessionPath, where: Where) -> Response:
    """Return a session."""
    return reply(session_shape(offer_of(call.request).session(call, session_id, where)))


@router.patch("/session/{sessionID}", response_model=SessionShape, openapi_extra=body(UpdateSession))
def update_session(call: Caller, session_id: SessionPath, where: Where, wanted: UpdateBody) -> Response:
    """Change a session's title, metadata, permission or time of archiving."""
    changes = wanted.changes()
    store = call.means.store
    if not changes:
        return reply(session_shape(store.session(call.tenant, session_id)))
    session = store.update_session(call.tenant, session_id, changes)
    call.means.announcer.changed(session)
    return reply(session_shape(session))


@router.delete("/session/{sessionID}", response_model=bool)
def delete_session(call: Caller, session_id: SessionPath, where: Where) -> Response:
    """End a session: cancel its open jobs, remove its content, and free its ID."""
    session = call.means.store.session(call.tenant, session_id)
    cancelled = call.means.store.delete_session(call.tenant, session_id)
    call.means.announcer.deleted(session)
    call.means.ended(cancelled)
    return reply(True)  # noqa: FBT003 - OpenCode's answer


@router.get("/session/{sessionID}/children", response_model=list[SessionShape])
def list_children(call: Caller, session_id: SessionPath, which: Annotated[ChildList, Query()]) -> Response:
    """List the sessions that name this one as their parent, the latest updated first."""
    call.means.store.session(call.tenant, session_id)
    return _list(call, SessionQuery(parent_id=session_id, ephemeral=is_ephemeral(session_id)), which)


@router.post("/session/{sessionID}/fork", response_model=SessionShape, openapi_extra=body(ForkSession, required=False))
def fork_session(call: Caller, session_id: SessionPath, where: Where, wanted: ForkBody) -> Response:
    """Make a session from the committed turns of this one."""
    if call.is_ephemeral_only:
        wanted = wanted.ephemeral_only()
    session, created = call.means.store.fork_session(
        call.tenant, session_id, wanted.creation(session_id), before=wanted.messageID
    )
    if created:
        call.means.announcer.created(session)
    return reply(session_shape(session), headers={"Promptq-Session": "created" if created else "resumed"})


@router.post("/session/{sessionID}/abort", response_model=bool, dependencies=[Depends(no_body)])
def abort_session(call: Caller, session_id: SessionPath, where: Where) -> Response:
    """Cancel every open job of a session."""
    call.means.ended(call.means.store.abort_session(call.tenant, session_id).ended)
    return reply(True)  # noqa: FBT003 - OpenCode's answer


@router.get("/session/{sessionID}/message", response_model=list[MessageShape])
def list_messages(call: Caller, session_id: SessionPath, which: Annotated[MessageList, Query()]) -> Response:
    """List a session's messages by their prompts' order, each user's before its answer."""
    if which.before is not None and not which.limit:
        raise InvalidRequest("before: is taken only with a limit", field="before")
    place = cursors.read_message(which.before, field="before")
    asked = min(which.limit, MOST_MESSAGES)
    try:
        found = call.means.store.messages(call.tenant, session_id, limit=asked + 1 if asked else None, before=place)
    except SessionNotFound:
        if not offer_of(call.request).virtual_sessions:
            raise
        found = []
    headers: dict[str, str] = {}
    if asked and len(found) > asked:
        found = found[1:]
        headers = cursors.onward((found[0].seq, found[0].role.value), call.request, parameter="before")
    return reply([message_shape(message) for message in found], headers=headers)


@router.get("/session/{sessionID}/message/{messageID}", response_model=MessageShape)
def get_message(call: Caller, session_id: SessionPath, message_id: MessagePath, where: Where) -> Response:
    """Return a message and its parts."""
    return reply(message_shape(call.means.store.message(call.tenant, session_id, message_id)))


def _list(call: Call, query: SessionQuery, page: Page) -> Response:
    query = query.evolve(limit=page.limit + 1, after=cursors.read(page.cursor))
    found, headers = cursors.page(
        call.means.store.sessions(call.tenant, query),
        page.limit,
        lambda session: (session.updated, session.id),
        call.request,
    )
    return reply([session_shape(session) for session in found], headers=headers)
