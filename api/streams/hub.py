"""Where a process's clients of events meet what the process hears."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from api.streams.clients import Client
from api.streams.rendering import Kind, Rendered, rendered
from domain import events
from domain.clock import Millis
from domain.errors import StoreUnavailable
from domain.events import Bundle, Order, Stage
from domain.ids import is_ephemeral
from domain.jobs import Job
from domain.sessions import Session
from storage.base import Store
from storage.notices import truth
from storage.notices.wire import Heard, decode, heard, split

log = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
"""Between two heartbeats, as OpenCode's."""

MOST_OPEN = 10_000
"""Open jobs of watched tenants that are looked after, the latest."""

BEFORE_ANSWER_S = 0.3
"""How long an answer waits for the events of its end, where somebody watches; then they are made of what is kept."""


@dataclass(eq=False)
class Following:
    """A session that clients follow."""

    #: As it was when it was looked at last.
    session: Session
    clients: set[Client] = field(default_factory=set)
    #: The sequence numbers of prompts that were told of, without those up to the session's.
    told: set[int] = field(default_factory=set)
    #: When the session had been changed last, as it was told.
    as_of: Millis = 0


class Hub:
    """All clients of one process. For its event loop, but for `wants` and `take`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._whole: dict[str, set[Client]] = {}
        self._followed: dict[tuple[str, str], Following] = {}
        self._tenants: Counter[str] = Counter()
        self._order = Order()
        #: Open jobs of watched tenants, the latest last.
        self._open: dict[tuple[str, str], str] = {}
        self._awaited: dict[tuple[str, str], list[asyncio.Future[None]]] = {}
        #: Set while what other processes tell would be heard.
        self.listening = asyncio.Event()
        #: Set when that has begun anew: Redis may have forgotten who is watched.
        self.regained = asyncio.Event()
        self._filling: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return self._tenants.total()

    def clients(self) -> Iterator[Client]:
        """Return all clients."""
        for clients in self._whole.values():
            yield from clients
        for following in self._followed.values():
            yield from following.clients

    def followed(self) -> list[Following]:
        """Return the sessions that clients follow."""
        return list(self._followed.values())

    def open_jobs(self) -> list[tuple[str, str]]:
        """Return the (tenant, ID) of jobs whose end somebody waits to see."""
        return list(self._open)

    def wants(self, tenant: str) -> bool:
        """Tell, in any thread, whether anybody here watches something of a tenant."""
        return tenant in self._tenants

    def join(self, client: Client, session: Session | None = None) -> Callable[[], None]:
        """Let a client hear what comes from now on: of a session, or of all of its tenant. Returns what ends that."""
        if session is not None:
            name = (session.tenant, session.id)
            following = self._followed.get(name)
            if following is None or following.session.incarnation != session.incarnation:
                self._end_following(name)
                following = self._followed[name] = Following(session, as_of=session.updated)
            clients = following.clients
        else:
            clients = self._whole.setdefault(client.tenant, set())
        clients.add(client)
        self._tenants[client.tenant] += 1

        def leave() -> None:
            self._leave(client, clients)

        return leave

    def _leave(self, client: Client, clients: set[Client]) -> None:
        clients.discard(client)
        self._tenants[client.tenant] -= 1
        if not self._tenants[client.tenant]:
            del self._tenants[client.tenant]
            for name in [name for name in self._open if name[0] == client.tenant]:
                del self._open[name]
        if not clients and client.session_id is None:
            self._whole.pop(client.tenant, None)
        elif not clients:
            name = (client.tenant, client.session_id or "")
            if name in self._followed and self._followed[name].clients is clients:
                del self._followed[name]

    def changed(self, listening: bool) -> None:
        """Note whether what other processes tell would be heard."""
        if listening:
            self.listening.set()
            self.regained.set()
        else:
            self.listening.clear()

    def hear(self, tenant: str, message: bytes) -> None:
        """Give what was published to those who want it."""
        if tenant not in self._tenants:
            return
        place, data = split(message)
        try:
            found = decode(tenant, data, place)
        except ValueError:
            log.warning("events_not_understood")
            return
        if found.left_out:
            task = self._loop.create_task(self._fill(found))
            self._filling.add(task)
            task.add_done_callback(self._filling.discard)
        else:
            self.give(found)

    def take(self, bundles: Sequence[Bundle]) -> None:
        """Give, from any thread, what this process tells to its own clients, because Redis could not."""
        for bundle in bundles:
            self._loop.call_soon_threadsafe(self.give, heard(bundle))

    def give(self, bundle: Heard) -> None:
        """Give a bundle to those who want it, unless it comes too late."""
        found = bundle.in_order(self._order)
        if found is None:
            return
        self._note(found)
        ready = Rendered(found)
        for client in self._whole.get(found.tenant, ()):
            if is_ephemeral(found.session_id) or not client.only_ephemeral:
                client.take_in(ready)
        following = self._followed.get((found.tenant, found.session_id))
        if following is None or following.session.incarnation != found.incarnation:
            return
        following.as_of = max(following.as_of, found.as_of)
        if found.seq:
            following.told.add(found.seq)
        for client in following.clients:
            client.take_in(ready)
        if found.is_last:
            self._end_following((found.tenant, found.session_id))

    def expect(self, tenant: str, session_id: str, job_id: str) -> None:
        """Look after an open job: its end is told even if nobody publishes it."""
        if not self._order.has_ended(tenant, job_id):
            self._open[tenant, job_id] = session_id
            if len(self._open) > MOST_OPEN:
                del self._open[next(iter(self._open))]

    def forget(self, tenant: str, job_id: str) -> None:
        """Look after a job no more."""
        self._open.pop((tenant, job_id), None)

    async def told(self, job: Job) -> None:
        """Wait until those who watch here have been told of a job's end; tell it, if nobody else does so soon."""
        name = (job.tenant, job.id)
        if job.tenant not in self._tenants or self._order.has_ended(*name):
            return
        if self.listening.is_set():
            future: asyncio.Future[None] = self._loop.create_future()
            self._awaited.setdefault(name, []).append(future)
            try:
                async with asyncio.timeout(BEFORE_ANSWER_S):
                    await future
            except TimeoutError:
                pass
            else:
                return
            finally:
                self._awaited[name].remove(future)
                if not self._awaited[name]:
                    del self._awaited[name]
        await self.tell_end(job)

    async def tell_end(self, job: Job) -> None:
        """Tell of a job's end, by what is kept of it."""
        try:
            bundle = await asyncio.to_thread(truth.end_of, self._store, job)
        except StoreUnavailable:
            return
        self.forget(job.tenant, job.id)
        if bundle is not None:
            self.give(heard(bundle))

    async def beat(self) -> None:
        """Keep streams alive, for as long as the process lives."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            beat = [events.heartbeat()]
            plain, wrapped = rendered(beat, Kind.PLAIN), rendered(beat, Kind.WRAPPED)
            for client in list(self.clients()):
                client.put(wrapped if client.kind is Kind.WRAPPED else plain)

    def close(self) -> None:
        """End all streams."""
        for client in list(self.clients()):
            client.end()

    def _note(self, found: Heard) -> None:
        if found.job_id is None:
            return
        if found.stage is not Stage.ENDED:
            self.expect(found.tenant, found.session_id, found.job_id)
            return
        self.forget(found.tenant, found.job_id)
        for future in self._awaited.get((found.tenant, found.job_id), ()):
            if not future.done():
                future.set_result(None)

    def _end_following(self, name: tuple[str, str]) -> None:
        following = self._followed.pop(name, None)
        for client in following.clients if following is not None else ():
            client.end()

    async def _fill(self, found: Heard) -> None:
        try:
            self.give(await asyncio.to_thread(truth.completed, self._store, found))
        except StoreUnavailable:
            log.warning("events_incomplete")
