"""A supervisor of toy children, as a process: `python -m tests.cli.toy_supervisor DIRECTORY NAME=PROGRAM…`.

Each program is Python source. A child is up when it has printed "up".
"""

import os
import sys
from pathlib import Path

from rich.console import Console

from cli.refusal import Refusal
from cli.roles import Role
from cli.supervisor import records
from cli.supervisor.child import Child
from cli.supervisor.logs import Log
from cli.supervisor.supervisor import StopAskedError, Supervisor
from cli.supervisor.voice import Voice


def main(directory: Path, programs: list[str]) -> int:
    def remember(children: list[Child]) -> None:
        records.remember_children(directory, [child.identity for child in children if child.identity])

    supervisor = Supervisor(Voice(Console(width=200)), on_change=remember)
    children = []
    for each in programs:
        name, _, source = each.partition("=")
        role = Role(name, (sys.executable, "-u", "-c", source), dict(os.environ))
        log = Log(directory / f"{name}.log")
        children.append(Child(role, log, is_up=lambda child: "up" in child.log.this_life(), patience_s=1))
    with supervisor.listening():
        try:
            supervisor.start(*children, within_s=20)
            print("all up", flush=True)
            supervisor.watch()
        except StopAskedError:
            print("stopping", flush=True)
        except Refusal as refusal:
            print(refusal, flush=True)
            return 1
        finally:
            supervisor.stop(*([child] for child in children))
    return supervisor.exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
