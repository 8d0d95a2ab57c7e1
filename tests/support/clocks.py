"""A clock that stands still until a test moves it."""

from domain.clock import Millis

START: Millis = 1_800_000_000_000


class FakeClock:
    """Counts from `START`; called, it tells the time."""

    def __init__(self) -> None:
        self.now: Millis = START

    def __call__(self) -> Millis:
        return self.now

    def advance(self, ms: Millis) -> Millis:
        """Let time pass; return the time then."""
        self.now += ms
        return self.now
