"""Hands prompts to promptq from a program that already speaks Celery, without HTTP and without importing promptq.

    PROMPTQ_REDIS_URL=redis://127.0.0.1:6379 python examples/celery_task.py SESSION_ID MESSAGE_ID TEXT

The same message ID again is the same prompt: it is answered once, however often this is run.
"""

import os
import sys

from celery import Celery

app = Celery("my-program", broker=os.environ["PROMPTQ_REDIS_URL"])
# The prefix that promptq gives its keys in Redis (PROMPTQ_REDIS_PREFIX); with another broker there is none.
app.conf.broker_transport_options = {"global_keyprefix": "promptq:"}


def main(session_id: str, message_id: str, text: str) -> None:
    """Send one prompt; a worker of promptq keeps it, and another (or the same) answers it."""
    body = {"messageID": message_id, "parts": [{"type": "text", "text": text}]}
    # What the program's own tasks would show of the arguments (in Flower, in logs) is left out.
    sent = app.send_task("promptq.admit", args=[session_id, body], queue="promptq", argsrepr="(…)", kwargsrepr="{}")
    print(sent.id)


if __name__ == "__main__":
    main(*sys.argv[1:])
