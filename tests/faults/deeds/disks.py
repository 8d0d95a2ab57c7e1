"""Disks that are full: promptq's processes may write to no file beyond a limit, by the system's own rule for files.

What is written beyond it fails (EFBIG) as it fails on a full disk (ENOSPC): SQLite can write no log, Python no line.
"""

import resource
from collections.abc import Sequence

from tests.faults.crew import Post
from tests.faults.deeds.deed import Deed, Scene

FULL_BYTES = 4096


def fill_worker(scene: Scene) -> None:
    _fill(scene, [scene.crew.any_worker()])


def fill_all(scene: Scene) -> None:
    """All of them share the disk with the SQLite file."""
    _fill(scene, scene.crew.posts)


def _fill(scene: Scene, posts: Sequence[Post]) -> None:
    pids = [post.member.pid for post in posts if post.member is not None and post.member.is_alive]
    for pid in pids:
        _limit(pid, FULL_BYTES)
    scene.let(scene.chance.uniform(2, 4))
    for pid in pids:
        _limit(pid, resource.RLIM_INFINITY)


def _limit(pid: int, limit: int) -> None:
    try:
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if limit == resource.RLIM_INFINITY else limit, hard))
    except ProcessLookupError:
        return  # it has been killed


DEEDS = (
    Deed("worker's disk full", fill_worker, "workers"),
    Deed("SQLite's disk full", fill_all, "servers", databases=("sqlite",)),
)
