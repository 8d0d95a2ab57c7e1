"""Plain Celery as its guide sets it up, for a command line to name; `BENCHMARK_BROKER` is its broker and keeps results.

Its settings are Celery's own but for the order of the queues.
"""

from __future__ import annotations

import os
import time

from celery import Celery

BROKER = os.environ["BENCHMARK_BROKER"]

app = Celery("plain", broker=BROKER, backend=BROKER)
app.conf.update(
    # Urgent messages first: 0 is the most urgent, and each of four steps is a list of its own.
    broker_transport_options={"queue_order_strategy": "priority"},
)


@app.task(ignore_result=True)
def noop(text: str) -> None:
    """Do nothing with a prompt."""


@app.task
def echo(text: str) -> str:
    """Answer with the prompt."""
    return text


@app.task(ignore_result=True)
def wait(seconds: float) -> None:
    """Take a while, as a model does."""
    time.sleep(seconds)
