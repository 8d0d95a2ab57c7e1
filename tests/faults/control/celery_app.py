"""Plain Celery as its guide sets it up for tasks that must not be lost; `CONTROL_BROKER` is its broker.

A task asks the suite's model, and writes the answer down: whoever reads the file sees which were done, and how often.
"""

import json
import os
import urllib.request
from pathlib import Path

from celery import Celery

app = Celery("control", broker=os.environ["CONTROL_BROKER"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # As short as the leases of the suite would have it: a lost task is given to another after it.
    broker_transport_options={"visibility_timeout": int(os.environ["CONTROL_VISIBILITY_S"])},
)


@app.task  # type: ignore[untyped-decorator] # Celery ships no types
def answer(session: str, number: int) -> None:
    """Answer a prompt, and keep the answer."""
    asked = {
        "session": session,
        "job": f"{session}/{number}",
        "attempt": 1,
        "prompt": f"{session} says {number} [plain]",
        "shown": [],
    }
    request = urllib.request.Request(os.environ["CONTROL_MODEL"], json.dumps(asked).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=60) as reply:
        reply.read()
    line = json.dumps([session, number]) + "\n"
    with Path(os.environ["CONTROL_ANSWERS"]).open("a", encoding="utf-8") as answers:
        answers.write(line)
