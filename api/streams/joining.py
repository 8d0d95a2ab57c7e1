"""How a client comes to follow a session: what it has missed first, then what comes, with nothing lost in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from api.streams.clients import Client
from api.streams.hub import Hub
from api.streams.rendering import Kind, Rendered, rendered
from api.streams.watching import Watch
from domain import events
from domain.events import Order, Stage
from domain.ids import session_tag
from domain.jobs import Job, State
from domain.sessions import Session
from storage.base import JobQuery, Store
from storage.notices import truth
from storage.notices.history import Seen, name_of
from storage.notices.wire import Heard

MOST_OPEN = 1_000
"""Open jobs of a session that are looked after from the beginning, the latest."""

MOST_ENDED = 200
"""Ended jobs of a session that are looked for in what was kept, the latest."""

_ENDED_STATES = tuple(state for state in State if not state.is_open)


class Joining:
    """Lets clients in."""

    def __init__(self, store: Store, hub: Hub, watch: Watch) -> None:
        self._store = store
        self._hub = hub
        self._watch = watch

    async def announce(self, client: Client) -> None:
        """Say that somebody is about to follow a session that may not be there yet."""
        await self._watch.begin(client)

    async def whole(self, client: Client) -> Callable[[], None]:
        """Let a client watch all of its tenant. Returns what lets it leave."""
        client.put(rendered([events.connected()], client.kind))
        leave = self._hub.join(client)
        try:
            await self._watch.begin(client)
        except BaseException:
            leave()
            raise
        return leave

    async def session(self, client: Client, session: Session, seen: Seen | None) -> Callable[[], None]:
        """Let a client follow a session, from what it saw last, or from now. Returns what lets it leave."""
        client.held = []
        leave = self._hub.join(client, session)
        try:
            place = await self._watch.begin(client, session)
            name = name_of(session.id, session.incarnation, place) if place else ""
            client.put(rendered([events.connected()], Kind.NAMED, "" if seen is not None else name))
            if seen is not None:
                missed = await self._missed(session, seen)
                if missed is None:
                    await self._tell_state(client, session, name)
                else:
                    place = await self._replay(client, missed, seen.number)
            elif session.open_total:
                under_way = _latest_attempt(await self._watch.all(session))
                place = await self._replay(client, under_way, -1) or place
            await self._look_after(session)
        except BaseException:
            leave()
            raise
        held, client.held = client.held, None
        for bundle in held:
            if not bundle.heard.place or _order_of(bundle.heard.place) > _order_of(place):
                client.take_in(bundle)
        return leave

    async def _missed(self, session: Session, seen: Seen) -> Sequence[Heard] | None:
        """Return what was told since, what was seen first; None if that is not kept, or not all of it was told."""
        if seen.tag != session_tag(session.id, session.incarnation):
            return None
        found = await self._watch.since(session, seen.place)
        return found if found and await self._has_all(session, found) else None

    async def _has_all(self, session: Session, kept: Sequence[Heard]) -> bool:
        """Tell whether what was kept has every end since the first of it.

        Ends are committed also while nobody can tell of them: Redis is away, or a worker is lost in between. Those who
        are connected then are told from the store; nothing of it is kept for those who are not.
        """
        told = {each.job_id for each in kept if each.stage is Stage.ENDED}
        query = JobQuery(limit=MOST_ENDED, states=_ENDED_STATES, session_id=session.id)
        ended = await asyncio.to_thread(self._store.jobs, session.tenant, query)
        return all(
            job.id in told for job in ended if job.incarnation == session.incarnation and _is_since(job, kept[0])
        )

    async def _replay(self, client: Client, bundles: Sequence[Heard], number: int | None) -> str:
        """Send what was kept; of the first bundle only what comes after the event with this number (None: nothing).

        Returns:
            The place of the last one.
        """
        order = Order()
        for index, kept in enumerate(bundles):
            whole = await asyncio.to_thread(truth.completed, self._store, kept) if kept.left_out else kept
            told = whole.in_order(order)
            if told is not None and (index or number is not None):
                client.put(Rendered(told).after(number if number is not None and not index else -1))
        return bundles[-1].place if bundles else ""

    async def _tell_state(self, client: Client, session: Session, name: str) -> None:
        state = await asyncio.to_thread(truth.state_of, self._store, session)
        client.put(await asyncio.to_thread(rendered, [events.gap(session.id), *state], Kind.NAMED, name))

    async def _look_after(self, session: Session) -> None:
        """See to it that the ends of what is open now are told."""
        if session.open_total:
            query = JobQuery(limit=MOST_OPEN, states=(State.QUEUED, State.RUNNING), session_id=session.id)
            for job in await asyncio.to_thread(self._store.jobs, session.tenant, query):
                if job.incarnation == session.incarnation:
                    self._hub.expect(job.tenant, job.session_id, job.id)


def _is_since(ended: Job, seen: Heard) -> bool:
    """Tell whether a job ended after what a client saw last. Jobs of a session end in order, but for cancelled ones."""
    match seen.stage:
        case Stage.BEGUN | Stage.GROWN | Stage.LEFT:
            return ended.seq >= seen.seq
        case Stage.ENDED:
            return ended.seq > seen.seq
        case _:
            return (ended.ended or 0) > seen.as_of


def _latest_attempt(kept: Sequence[Heard]) -> Sequence[Heard]:
    """Pick what was told since the latest attempt began, if it still runs."""
    for index in range(len(kept) - 1, -1, -1):
        if kept[index].stage is Stage.BEGUN:
            since, job_id = kept[index:], kept[index].job_id
            over = any(each.job_id == job_id and each.stage in {Stage.LEFT, Stage.ENDED} for each in since)
            return () if over else since
    return ()


def _order_of(place: str) -> tuple[int, int]:
    milliseconds, _, number = place.partition("-")
    return int(milliseconds or 0), int(number or 0)
