"""A process of callers: `python -m tests.faults.client OPTIONS`. On SIGTERM each gets its last through."""

import argparse
import signal
import threading
from pathlib import Path

from tests.faults.caller import Load
from tests.faults.callers import Burst, rivals, singles
from tests.faults.followers import followers
from tests.faults.passers import passers


def threads_of(load: Load) -> list[threading.Thread]:
    """The callers of one process."""
    made = [
        threading.Thread(target=rivals, args=(load, f"r{load.number}{pair}", rival))
        for pair in range(2)
        for rival in range(2)
    ]
    made += [threading.Thread(target=singles, args=(load, f"s{load.number}{each}")) for each in range(2)]
    made += [threading.Thread(target=passers, args=(load, f"e{load.number}{each}")) for each in range(3)]
    made += [threading.Thread(target=followers, args=(load, f"f{load.number}{each}")) for each in range(3)]
    made += Burst(load, f"b{load.number}").threads
    return made


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    kinds = {"url": str, "round": str, "seed": int, "number": int, "directory": Path}
    for name, kind in {**kinds, "marker": str, "deadly": float, "rate": float, "good_limit": int}.items():
        parser.add_argument(f"--{name}", type=kind, required=True)
    return parser.parse_args(arguments)


def main() -> None:
    load = Load(**vars(options()))
    signal.signal(signal.SIGTERM, lambda *_: load.enough.set())
    threads = threads_of(load)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
