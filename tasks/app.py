"""The Celery app: how workers of promptq are set up. Celery wakes them and shows them; the store holds the work."""

from __future__ import annotations

from celery import Celery
from kombu import Queue

from domain.settings import Settings
from tasks.admission import Admissions, Admit
from tasks.bell_step import BellStep
from tasks.broker import NO_BROKER, TASK_QUEUE, broker_url, transport_options
from tasks.engine_step import EngineStep
from tasks.logs import take_over
from tasks.settling_step import SettlingStep

TASK_THREADS = 2
"""Threads for ordinary Celery tasks. Prompts do not use them."""


class PromptqApp(Celery):
    """A Celery app that knows promptq's settings."""

    settings: Settings
    #: In a worker, from its start on: what the task `promptq.admit` works with.
    admissions: Admissions


def make_celery(settings: Settings) -> PromptqApp:
    """Make the app. Nothing is connected, opened or started by it."""
    app = PromptqApp("promptq", set_as_current=False)
    app.settings = settings
    app.conf.update(
        broker_url=broker_url(settings) or NO_BROKER,
        broker_transport_options=transport_options(settings),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=3,
        # Lost bells are made up for by looking at the store; late acknowledgement ends workers when Redis restarts
        # (`tasks.settling_step` sees to it that it does not where `tasks.admission` needs it).
        task_acks_late=False,
        task_ignore_result=True,
        result_backend=None,
        task_serializer="json",
        event_serializer="json",
        accept_content=["json"],
        task_default_queue=TASK_QUEUE,
        task_queues=[Queue(TASK_QUEUE)],
        worker_send_task_events=True,
        worker_pool="threads",
        worker_concurrency=TASK_THREADS,
        worker_prefetch_multiplier=1,
        worker_redirect_stdouts=False,
        enable_utc=True,
        timezone="UTC",
    )
    take_over(settings)
    app.register_task(Admit())
    app.steps["worker"].add(EngineStep)
    app.steps["consumer"].update({BellStep, SettlingStep})
    return app
