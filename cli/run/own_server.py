"""What `cli.run.household` starts: `promptq up`, quiet, on a free port of loopback, for as long as it is used.

usage: python -m cli.run.own_server DIRECTORY [--temporary]
"""

import os
import shutil
import sys
from pathlib import Path

from cli.environment import read_settings
from cli.refusal import Refusal
from cli.run.household import TAKEN, Lock
from cli.supervisor.records import AlreadyUp
from cli.supervisor.up import Wishes, up


def main(directory: Path, *, temporary: bool) -> int:
    """Serve until nobody uses it. Returns the exit code."""
    # A port that a `promptq up` beside this one may want.
    os.environ.pop("PROMPTQ_METRICS_PORT", None)
    lock = Lock(directory)
    try:
        settings = read_settings(data_dir=directory, host="127.0.0.1", port=0)
        # Whoever holds the lock alone keeps it to the end: who comes meanwhile waits, and starts anew.
        return up(settings, Wishes(with_flower=False, quiet=True, for_runs=True, until=lock.take_alone))
    except AlreadyUp:
        return TAKEN
    except Refusal as refusal:
        print(f"promptq: {refusal}", file=sys.stderr)
        return refusal.exit_code
    finally:
        if temporary:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), temporary="--temporary" in sys.argv[2:]))
