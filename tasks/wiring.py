"""Where the two steps of a worker meet: the engine, there before any broker, and the bell, which comes and goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tasks.doorbell import Doorbell
from tasks.engine.engine import Engine


class Wiring:
    """What the steps of one worker share."""

    engine: Engine
    #: Called when the worker begins to end.
    at_close: Callable[[], None]
    #: What is let go of when the engine has stopped, in this order.
    at_end: Sequence[Callable[[], None]] = ()

    def __init__(self, doorbell: Doorbell) -> None:
        self.doorbell = doorbell
        #: Whether the worker was told to finish what it has, and end.
        self.is_draining = False
        #: By `time.monotonic`, while it drains: when what still runs is given back.
        self.give_back_at: float | None = None
        #: Whether all slots were full at the last look.
        self.is_full = False
        #: Called, in any thread, when they are not any more.
        self.on_room: Callable[[], None] | None = None

    def saturated(self, full: bool) -> None:
        """Note whether all slots are full; those of a worker that drains count as full."""
        self.is_full = full or self.is_draining
        if not self.is_full and self.on_room is not None:
            self.on_room()

    def drain(self, give_back_at: float) -> None:
        """Claim no more, leave the bells to others, and remember when to give back what still runs."""
        self.is_draining = True
        self.is_full = True
        self.give_back_at = give_back_at
        self.engine.close()
