"""OpenCode's terminal program at a terminal of its own, whose screen a test reads and whose keys it presses."""

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
from typing import Self

import pyte

from tests.clients.opencode import OpenCode, environment
from tests.support.waiting import NeverHappenedError, eventually

ROWS, COLUMNS = 40, 120

ENTER, ESCAPE = "\r", "\x1b"

_CLEAR = "\x15"
"""Ctrl-U: removes what is in the line."""

#: What a terminal is asked, and what this one answers.
_ANSWERS = {
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[c": b"\x1b[?62;4c",
    b"\x1b[?u": b"\x1b[?0u",
    b"\x1b]10;?": b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\",
    b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\",
    b"\x1b[14t": b"\x1b[4;800;1200t",
}

SLOW_S = 60.0
"""How long the screen may take to show something, on a machine that does much else."""


class Screen:
    """Runs `opencode ARGUMENTS…`. A context manager: at the end nothing of it is left."""

    def __init__(self, opencode: OpenCode, *arguments: str) -> None:
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            [str(opencode.installation.opencode), *arguments],
            stdin=far,
            stdout=far,
            stderr=far,
            env=environment(opencode.home, TERM="xterm-256color", COLORTERM="truecolor"),
            cwd=opencode.directory,
            start_new_session=True,
        )
        os.close(far)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """What the screen shows now."""
        with self._lock:
            return "\n".join(line.rstrip() for line in self._screen.display)

    def shows(self, *texts: str) -> None:
        """Wait until all of these are on the screen."""

        def shown() -> bool:
            screen = self.text
            for text in texts:
                assert text in screen, screen
            return True

        eventually(shown, SLOW_S, what=f"the screen shows {texts}")

    def shows_twice(self, text: str) -> None:
        """Wait until this is there as a prompt and as its answer: echo repeats what is said."""
        eventually(lambda: self.text.count(text) == 2, SLOW_S, what=f"the screen shows {text!r} twice\n{self.text}")

    def hides(self, text: str) -> None:
        """Wait until this is not on the screen."""

        def hidden() -> bool:
            assert text not in self.text, self.text
            return True

        eventually(hidden, SLOW_S, what=f"the screen does not show {text!r}")

    def press(self, keys: str) -> None:
        os.write(self._near, keys.encode())

    def say(self, text: str) -> None:
        """Type a line and send it, once it is there to be sent. What is typed while a view changes may be lost."""
        before = self.text.count(text)

        def typed() -> bool:
            self.press(_CLEAR + text)
            with contextlib.suppress(NeverHappenedError):
                eventually(lambda: self.text.count(text) > before, 5)
                return True
            return False

        eventually(typed, SLOW_S, what=f"the line takes {text!r}\n{self.text}")
        self.press(ENTER)

    def order(self, command: str, dialog: str) -> None:
        """Give a command that begins with a slash, and wait for what it opens."""
        self.press(command)
        self.shows(command)
        eventually(lambda: self.text.count(command) > 1, SLOW_S, what=f"{command} is offered")
        self.press(ENTER)
        self.shows(dialog)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
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
            for asked, answer in _ANSWERS.items():
                if asked in read:
                    os.write(self._near, answer)
            with self._lock:
                self._stream.feed(read)
