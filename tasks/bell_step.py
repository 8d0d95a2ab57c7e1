"""Hears the doorbell in a Celery worker.

Everything here runs in the worker's own thread, which is the only one that may touch its consumers: messages come
there, and other threads reach it through `call_soon`. The step is started anew with every connection to the broker.
"""

from __future__ import annotations

import time
from typing import Any

from celery import bootsteps
from kombu import Consumer, Queue

from storage.failpoints import failpoint
from tasks.broker import BELL_KEY, BELL_QUEUE
from tasks.wiring import Wiring

GAP_S = 0.005
"""The shortest time between two bells that are answered: rings in between join the next one."""


class BellStep(bootsteps.ConsumerStep):
    """Consumes the bells while a slot is free. A bell that comes when none is free is rung on, for another worker."""

    label = "Doorbell"
    consumers: list[Any] = []  # noqa: RUF012 - Celery's own attribute, set anew at every start

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._worker = consumer
        self._listening = False
        self._answered_at = 0.0

    def get_consumers(self, channel: Any) -> list[Any]:
        """Return the consumer of bells. What they say is not even decoded."""
        queues = [Queue(BELL_QUEUE, exchange="", routing_key=BELL_QUEUE)]
        return [Consumer(channel, queues=queues, no_ack=True, on_message=self._heard)]

    def start(self, c: Any) -> None:
        """Listen, and look once: what was rung while there was no connection is lost."""
        super().start(c)
        self._listening = True
        self._wiring.on_room = lambda: c.call_soon(self._listen)
        self._wiring.engine.look()

    def stop(self, c: Any) -> None:
        """Listen no more on this connection."""
        self._forget(c)
        super().stop(c)

    def shutdown(self, c: Any) -> None:
        """Listen no more at all."""
        self._forget(c)
        super().shutdown(c)

    def _forget(self, c: Any) -> None:
        self._listening = False
        wiring = getattr(self._worker.controller, "promptq", None)
        if wiring is not None:
            wiring.on_room = None
        if c.connection is None:
            # The connection broke and took its channels with it; Celery's own step would fail over its absence.
            self.consumers = []

    @property
    def _wiring(self) -> Wiring:
        wiring: Wiring = self._worker.controller.promptq
        return wiring

    def _heard(self, _message: Any) -> None:
        wait_s = self._answered_at + GAP_S - time.monotonic()
        if wait_s > 0 and self._worker.hub is not None:
            self._worker.timer.call_after(wait_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        """Remove the key, then claim: who rings after this is heard anew, who rang before has committed."""
        if not self._listening:
            return  # the connection broke meanwhile, or another bell was answered and the slots are full
        failpoint("bell.heard")
        self._answered_at = time.monotonic()
        for consumer in self.consumers:
            if hasattr(consumer.channel, "conn_or_acquire"):
                # Not over the channel's own connection: that one is blocked in BRPOP.
                with consumer.channel.conn_or_acquire() as client:
                    client.delete(BELL_KEY)
        if self._wiring.is_full:
            self._mute()
            self._wiring.doorbell.ring()
        else:
            self._wiring.engine.look()

    def _mute(self) -> None:
        if self._listening:
            self._listening = False
            for consumer in self.consumers:
                consumer.cancel()

    def _listen(self) -> None:
        if not self._listening and self._wiring.on_room is not None and not self._wiring.is_full:
            self._listening = True
            for consumer in self.consumers:
                consumer.consume()
