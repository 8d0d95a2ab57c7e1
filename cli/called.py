"""The name that this command was called by, so that what it advises can be typed as it stands."""

import os

#: Set by `./run`.
CALLED = "PROMPTQ_CALLED"


def called() -> str:
    """`promptq`, or the script that stands for it."""
    return os.environ.get(CALLED) or "promptq"


def typed(words: str) -> str:
    """A command to type, in quotes: `'promptq up'`."""
    return f"'{called()} {words}'"
