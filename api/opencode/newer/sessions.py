"""The routes of `/api/session…` that make, show and change sessions."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api import cursors
from api.calls import Call, LeanRoute, Location, json_body, no_body
from api.opencode.newer import shapes
from api.opencode.newer.requests import NewerCreate, SwitchAgent, SwitchModel
from api.opencode.offer import offer_of
from api.opencode.queries import check_names
from api.opencode.view import of_view
from api.replies import reply
from domain.errors import InvalidRequest
from domain.ids import check_message_id, check_session_id, is_ephemeral
from domain.jobs import State
from domain.messages import Message
from domain.sessions import Session
from domain.shapes import PROJECT
from storage.base import JobQuery, SessionQuery

router = APIRouter(route_class=LeanRoute, include_in_schema=False)

MOST = 1000
"""Items on one page."""

SOME = 100
"""Items on a page whose length nobody chose."""


def session_of(request: Request) -> str:
    """Return the ID of the session that a path names.

    Raises:
        InvalidRequest: it is none.
    """
    return check_session_id(request.path_params["sessionID"])


@router.post("/api/session")
async def create_session(request: Request) -> Response:
    """Create a session, or return the one that is there."""
    call = Call(request)
    check_names(request)
    wanted = await json_body(NewerCreate, optional=True)(request)
    older = wanted.older()
    if call.is_ephemeral_only:
        older = older.ephemeral_only()
    where, place = Location(), wanted.location
    creation = older.creation(
        catalog=call.means.terms.catalog,
        directory=place.directory if place is not None else call.directory(where),
        workspace=place.workspaceID if place is not None else None,
    )
    if call.is_ephemeral_only:
        creation = of_view(creation, offer_of(request).run_ttl_ms)
    session, created = await call.means.aside(call.means.store.create_session, call.tenant, creation)
    if created:
        call.means.announcer.created(session)
    headers = {"Promptq-Session": "created" if created else "resumed"}
    return reply({"data": shapes.session_shape(session)}, headers=headers)


@router.get("/api/session")
async def list_sessions(request: Request) -> Response:
    """List sessions, the latest updated first. `directory`, `workspace` and `subpath` filter nothing."""
    call = Call(request)
    query = check_names(request, ("workspace", "limit", "order", "search", "directory", "project", "subpath", "cursor"))
    _refuse_ascending(query.get("order"))
    limit = _limit(query.get("limit"))
    if query.get("project", PROJECT) != PROJECT:
        return reply({"data": [], "cursor": {}})
    wanted = SessionQuery(
        limit=limit + 1,
        after=cursors.read(query.get("cursor")),
        search=query.get("search") or None,
        ephemeral=call.is_ephemeral_only,
    )
    found = await call.means.aside(call.means.store.sessions, call.tenant, wanted)
    kept = found[:limit]
    cursor = {"next": cursors.write((kept[-1].updated, kept[-1].id))} if len(found) > limit else {}
    return reply({"data": [shapes.session_shape(session) for session in kept], "cursor": cursor})


@router.get("/api/session/active")
async def active_sessions(request: Request) -> Response:
    """Tell which sessions have a prompt that runs."""
    call = Call(request)
    check_names(request)
    busy = await call.means.aside(call.means.store.busy_sessions, call.tenant)
    running = [
        name
        for name, head in busy.items()
        if head.state is State.RUNNING and (is_ephemeral(name) or not call.is_ephemeral_only)
    ]
    return reply({"data": {name: {"type": "running"} for name in running}})


@router.get("/api/session/{sessionID}")
async def get_session(request: Request) -> Response:
    """Return a session."""
    call = Call(request)
    check_names(request)
    session = await call.means.aside(offer_of(request).session, call, session_of(request), Location())
    return reply({"data": shapes.session_shape(session)})


@router.post("/api/session/{sessionID}/agent")
async def switch_agent(request: Request) -> Response:
    """Change the agent of later prompts that name none."""
    wanted = await json_body(SwitchAgent)(request)
    return await _change(request, {"agent": wanted.agent})


@router.post("/api/session/{sessionID}/model")
async def switch_model(request: Request) -> Response:
    """Change the model of later prompts that name none."""
    wanted = (await json_body(SwitchModel)(request)).model
    full = Call(request).means.terms.catalog.check(wanted.providerID, wanted.id)
    return await _change(request, {"model": full, "variant": wanted.variant})


async def _change(request: Request, changes: dict[str, str | None]) -> Response:
    call = Call(request)
    check_names(request)
    session: Session = await call.means.aside(
        call.means.store.update_session, call.tenant, session_of(request), changes
    )
    call.means.announcer.changed(session)
    return Response(status_code=204)


@router.post("/api/session/{sessionID}/interrupt")
async def interrupt(request: Request) -> Response:
    """Cancel the prompt that is being answered; those behind it go on. An idle session stays as it is."""
    call = Call(request)
    check_names(request)
    await no_body(request)
    await call.means.aside(_interrupt, call, session_of(request))
    return Response(status_code=204)


def _interrupt(call: Call, session_id: str) -> None:
    store = call.means.store
    if not store.session(call.tenant, session_id).open_total:
        return
    latest = store.jobs(call.tenant, JobQuery(limit=1, session_id=session_id, ephemeral=is_ephemeral(session_id)))
    head = store.head(latest[0]) if latest else None
    if head is not None:
        call.means.ended(store.cancel_job(call.tenant, head.id).ended)


@router.get("/api/session/{sessionID}/message")
async def list_messages(request: Request) -> Response:
    """List a session's messages, the latest first. Pages lead back in time."""
    call = Call(request)
    query = check_names(request, ("limit", "order", "cursor"))
    _refuse_ascending(query.get("order"))
    limit = _limit(query.get("limit"))
    before = cursors.read_message(query.get("cursor"), field="cursor")
    found = await call.means.aside(_messages, call, session_of(request), limit + 1, before)
    kept = found[-limit:]
    cursor = {"next": cursors.write((kept[0].seq, kept[0].role.value))} if len(found) > limit else {}
    return reply({"data": [shapes.message_shape(message) for message in reversed(kept)], "cursor": cursor})


@router.get("/api/session/{sessionID}/context")
async def context(request: Request) -> Response:
    """List all messages of a session, in order: nothing is ever left out of it."""
    call = Call(request)
    check_names(request)
    found = await call.means.aside(_messages, call, session_of(request), None, None)
    return reply({"data": [shapes.message_shape(message) for message in found]})


@router.get("/api/session/{sessionID}/message/{messageID}")
async def get_message(request: Request) -> Response:
    """Return a message."""
    call = Call(request)
    check_names(request)
    message_id = check_message_id(request.path_params["messageID"])
    found = await call.means.aside(call.means.store.message, call.tenant, session_of(request), message_id)
    return reply({"data": shapes.message_shape(found)})


def _messages(call: Call, session_id: str, limit: int | None, before: tuple[int, str] | None) -> list[Message]:
    return call.means.store.messages(call.tenant, session_id, limit=limit, before=before)


def _limit(given: str | None) -> int:
    if given is None:
        return SOME
    if not given.isascii() or not given.isdigit() or not 1 <= int(given[:9]) <= MOST:
        raise InvalidRequest(f"limit: must be a whole number from 1 to {MOST}", field="limit")
    return int(given[:9])


def _refuse_ascending(order: str | None) -> None:
    if order not in (None, "desc"):
        raise InvalidRequest("order: only 'desc' is offered", field="order")
