"""Becomes a child of the supervisor that does not outlive it. Run as a script, with nothing but the standard library.

usage: leash.py SUPERVISOR_PID SIGNAL COMMAND [ARGUMENT…]

On Linux the kernel sends SIGNAL to the child when the supervisor dies, however it dies. Elsewhere the next supervisor
ends what is left.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(supervisor: int, number: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != supervisor:  # it died before the kernel was asked
        sys.exit(f"promptq: the supervisor {supervisor} has ended")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
