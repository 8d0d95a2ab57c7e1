"""Ctrl-C, SIGTERM and a terminal that is closed, while a run is under way.

The first may be noted, so that it can be answered in order; each further one breaks off whatever is being done.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """Somebody asked the run to stop, and what was being done is broken off."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number.name)
        self.number = number


class Stops:
    """Takes the process's signals for the length of a block."""

    def __init__(self) -> None:
        """Begin; nobody has asked for anything."""
        #: The first that came.
        self.first: signal.Signals | None = None
        self._note: Callable[[signal.Signals], None] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                # Whoever started us under nohup wants us to outlive the terminal.
                if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def noted(self, note: Callable[[signal.Signals], None]) -> Iterator[None]:
        """Have the first stop noted instead of breaking off the block. `note` is called between any two instructions.

        Raises:
            Stopped: a further one came.
        """
        self._note, before = note, self._note
        try:
            yield
        finally:
            self._note = before

    def _take(self, number: int, _: FrameType | None) -> None:
        is_first, asked = self.first is None, signal.Signals(number)
        self.first = self.first or asked
        if is_first and self._note is not None:
            self._note(asked)
        else:
            raise Stopped(asked)
