"""The API's process: `uvicorn --factory api.main:make_app`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import entry_points
from typing import Any

import anyio.to_thread
from fastapi import FastAPI

from api import document, errors, health, jobs, logs, prompts, sessions
from api.doors import BodyLimit, Doors
from api.means import Bell, Means
from api.openai import batches, chat, files
from api.openai import models as openai_models
from api.opencode import absent, empty, models, place
from api.opencode.courtesy import Courtesy
from api.opencode.newer import prompts as newer_prompts
from api.opencode.newer import sessions as newer_sessions
from api.opencode.newer import streams as newer_streams
from api.opencode.offer import Offer
from api.opencode.view import EphemeralView
from api.operations import routes as operating
from api.operations.operations import Operations
from api.streams import descriptors
from api.streams import routes as streams
from api.streams.announcing import Announcer
from api.streams.clients import HangUp
from api.streams.hub import Hub
from api.streams.joining import Joining
from api.streams.lookout import Lookout
from api.streams.watching import Watch
from api.waiters import Waiters
from domain.configuration import Configuration, configuration_of
from domain.models import Catalog
from domain.requests.prompts import Terms
from domain.settings import Settings
from domain.shapes import VERSION
from storage import redis_clients
from storage.base import Store
from storage.notices import NoticeReader, Notices
from storage.opening import batches_of, open_stores
from tasks.doorbell import Doorbell

THREADS = 64
"""How many requests ask the store at once. On SQLite those that write together are committed together."""

ENTRY_POINTS = "promptq.executors"

OPENAI = (files, batches, chat, openai_models)
FILES = "/v1/files"
FORM = 1024 * 1024
"""Bytes of a form around a file."""

OPENCODE = (place, models, newer_sessions, newer_prompts, newer_streams, empty)
"""What only OpenCode's clients ask for."""


def make_app() -> FastAPI:
    """Make the application that the environment describes.

    Raises:
        ModelUnknown: `PROMPTQ_MODEL` names a model that no executor answers for.
        ConfigurationInvalid: the configuration file cannot be honoured.
    """
    settings = Settings()
    logs.configure(settings)
    descriptors.allow_many()
    return create_app(
        settings,
        store=lambda: open_stores(settings),
        bell=lambda: Doorbell(settings),
        configuration=configuration_of(settings),
    )


def create_app(
    settings: Settings,
    *,
    store: Callable[[], Store],
    bell: Callable[[], Bell],
    configuration: Configuration | None = None,
) -> FastAPI:
    """Make an application.

    Args:
        settings: what the environment says.
        store: called when the application starts; what it returns is closed when it stops.
        bell: the same.
        configuration: what the configuration file says; None: nothing.

    Raises:
        ModelUnknown: the default model is one that no executor answers for.
    """
    catalog = Catalog({point.name for point in entry_points(group=ENTRY_POINTS)})
    catalog.check_name(settings.model)
    terms = Terms(catalog, echo_faults=settings.echo_faults)
    password = settings.password.get_secret_value() if settings.password else None
    keyring = (configuration or Configuration()).keyring(password=password)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        async with _means(settings, terms, store, bell) as means:
            app.state.means = means
            app.state.courtesy = Courtesy()
            yield

    app = FastAPI(
        title="promptq",
        version=VERSION,
        description="A queue for prompts, with OpenCode's HTTP API.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.offer = Offer.of(settings, catalog)
    for part in (prompts, jobs, sessions, streams, operating, health, *OPENCODE, *OPENAI):
        # Not include_router: it copies nothing any more, and asks every router anew at every request.
        app.router.routes.extend(part.router.routes)
    app.router.routes.extend(absent.routes())
    errors.install(app)
    document.install(app)
    app.add_middleware(EphemeralView)
    app.add_middleware(BodyLimit, limit=settings.body_limit, others={FILES: settings.file_limit + FORM})
    app.add_middleware(Doors, settings=settings, keyring=keyring)
    app.add_middleware(errors.LastResort)
    app.add_middleware(HangUp)
    return app


@contextlib.asynccontextmanager
async def _means(
    settings: Settings, terms: Terms, store: Callable[[], Store], bell: Callable[[], Bell]
) -> AsyncIterator[Means]:
    """Open what the routes work with, and close it, in the reverse order."""
    async with contextlib.AsyncExitStack() as stack:
        opened = await asyncio.to_thread(store)
        stack.push_async_callback(asyncio.to_thread, opened.close)
        doorbell = bell()
        stack.push_async_callback(asyncio.to_thread, doorbell.close)
        notices = Notices(settings.redis, settings.redis_prefix)
        stack.callback(notices.close)
        waiters = Waiters(opened)
        await stack.enter_async_context(_running(waiters.run()))
        hub = Hub(opened)
        stack.callback(hub.close)
        announcer = Announcer(opened, notices, hub)
        announcer.start()
        stack.push_async_callback(asyncio.to_thread, announcer.close)
        watch = Watch(settings.redis, settings.redis_prefix, hub)
        stack.push_async_callback(watch.close)
        for work in (hub.beat(), watch.run(), Lookout(opened, hub).run()):
            await stack.enter_async_context(_running(work))
        redis = None
        if settings.redis is not None:
            reader = NoticeReader(settings.redis, settings.redis_prefix, waiters.hear, hub.hear, hub.changed)
            await stack.enter_async_context(_running(reader.run()))
            redis = redis_clients.async_client(
                settings.redis, connections=2, connect_timeout_s=health.REDIS_S, socket_timeout_s=health.REDIS_S
            )
            stack.push_async_callback(redis.aclose)
        operations = Operations(settings, opened, streams=lambda: len(hub))
        stack.push_async_callback(asyncio.to_thread, operations.close)
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="api")
        stack.callback(threads.shutdown, wait=False)
        joining = Joining(opened, hub, watch)
        yield Means(
            opened,
            doorbell,
            notices,
            waiters,
            announcer,
            hub,
            joining,
            terms,
            threads,
            redis,
            operations,
            batches_of(opened),
            settings.file_limit,
        )


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run work that never ends beside a block."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
