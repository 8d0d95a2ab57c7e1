"""A command at a terminal of its own, as a person has it."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from typing import Self

from tests.support.waiting import eventually


class Terminal:
    """Runs `python ARGUMENTS…` with all three streams at a pseudo-terminal. A context manager."""

    def __init__(self, *arguments: str, environment: Mapping[str, str], columns: int = 80) -> None:
        self._screen = bytearray()
        self._near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=far,
            stdout=far,
            stderr=far,
            env={"TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
            start_new_session=True,
        )
        os.close(far)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def screen(self) -> str:
        """Everything that was written, with its control sequences."""
        return self._screen.decode("utf-8", "replace").replace("\r\n", "\n")

    def shows(self, text: str, timeout: float = 30) -> str:
        """Wait until it has written `text`; returns all that it has written."""

        def shown() -> bool:
            assert text in self.screen, self.screen
            return True

        eventually(shown, timeout, what=f"the terminal shows {text!r}")
        return self.screen

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ends(self, timeout: float = 30) -> int:
        """Wait for its end and for the rest of its output; returns the exit code."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)
        os.close(self._near)

    def _read(self) -> None:
        while True:
            try:
                read = os.read(self._near, 65536)
            except OSError:  # what Linux says when nobody is at the far end any more
                return
            if not read:
                return
            self._screen += read
