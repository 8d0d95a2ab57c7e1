"""Keeps a worker alive whose broker goes away while a message is not acknowledged.

Two things in Celery and kombu (both 5.7.0, on Redis) end such a worker for good, with an AttributeError on a None that
was a connection: giving messages back over a connection that is lost, and acknowledging, over a new one, what came over
the lost one. So messages are given back only while there is a connection, and an acknowledgement that cannot be is let
go of. Either way a Redis that lives has the message come again after its visibility time-out, and whoever acknowledges
late knows a message that comes twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from celery import bootsteps

log = logging.getLogger(__name__)


class SettlingStep(bootsteps.StartStopStep):
    """Started anew with every connection, on the channel of the tasks."""

    label = "Settling"
    requires = ("celery.worker.consumer:Tasks",)

    def start(self, c: Any) -> None:
        """Expect the connection to be lost."""
        channel = c.task_consumer.channel
        channel.Message = _patient(channel.Message)
        _give_back(c, at_close=False)

    def stop(self, c: Any) -> None:
        """Have messages given back, unless the connection is what ended."""
        _give_back(c, at_close=c.connection is not None)

    shutdown = stop


def _give_back(c: Any, *, at_close: bool) -> None:
    channel: Any = getattr(c.task_consumer, "channel", None)
    if hasattr(channel, "do_restore"):
        channel.do_restore = at_close


def _patient(kind: Any) -> Any:
    """Make messages of a kind that survive a broker that does not take their settlement."""

    class Patient(kind):
        def ack_log_error(self, *arguments: Any, **named: Any) -> None:
            _settle(super().ack_log_error, *arguments, **named)

        def reject_log_error(self, *arguments: Any, **named: Any) -> None:
            _settle(super().reject_log_error, *arguments, **named)

    return Patient


def _settle(settle: Callable[..., None], *arguments: Any, **named: Any) -> None:
    try:
        settle(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - whatever a channel that is gone raises
        log.warning("message_not_settled", extra={"error": type(error).__name__})
