"""OpenCode's own clients, as npm has them: installed once into the project's cache, and found there.

`python -m tests.clients.installation` installs them. The lock file names versions and hashes and no registry. No
package's install script is run: the command is a program of its own, in a package for each platform.
"""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache" / "clients"
WANTED = ("package.json", "package-lock.json")


class NotToBeHad(Exception):
    """npm, or what it should have brought, is not to be had on this machine. The message says why."""


@dataclass(frozen=True)
class Installation:
    """Where the clients are."""

    opencode: Path
    node: Path
    #: Where Node finds the packages from: scripts must lie in it.
    root: Path


def installed() -> Installation:
    """Return the clients; install them if they are not there.

    Raises:
        NotToBeHad: they cannot be installed here.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotToBeHad("there is no npm on PATH")
    CACHE.mkdir(parents=True, exist_ok=True)
    with _alone():
        stamp = CACHE / "stamp"
        wanted = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in WANTED)).hexdigest()
        if not stamp.is_file() or stamp.read_text() != wanted:
            _install(npm)
            stamp.write_text(wanted)
    return Installation(_opencode(), Path(node), CACHE)


def _install(npm: str) -> None:
    for name in WANTED:
        shutil.copy(HERE / name, CACHE / name)
    # Not `ci`: that wants the programs of all platforms to be in the lock, and a registry may have some of them only.
    command = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=540, check=False)
    if done.returncode:
        first = (done.stderr.strip() or "it said nothing").splitlines()[0]
        raise NotToBeHad(f"npm could not install them: {first}")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time look and install."""
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _opencode() -> Path:
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine().lower())
    base = f"opencode-{sys.platform}-{machine}"
    plain = machine == "x64" and not _has_avx2()
    for name in (f"{base}-baseline", base) if plain else (base, f"{base}-baseline"):
        found = CACHE / "node_modules" / name / "bin" / "opencode"
        if os.access(found, os.X_OK):
            return found
    raise NotToBeHad(f"OpenCode's command is not published for this machine ({base})")


def _has_avx2() -> bool:
    with contextlib.suppress(OSError):
        return "avx2" in Path("/proc/cpuinfo").read_text("utf-8").split()
    return True


if __name__ == "__main__":
    try:
        print(f"clients: {installed().opencode}")
    except NotToBeHad as reason:
        sys.exit(f"clients: not installed: {reason}")
