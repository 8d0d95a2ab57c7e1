"""What happens to workers and to the API: they are killed, at any moment or at a chosen one; frozen; replaced."""

import contextlib

from tests.crash.fleet import Member
from tests.faults.crew import ORDERLY, Post, arm
from tests.faults.deeds.deed import Deed, Scene, Unmet
from tests.support.waiting import eventually

#: How long one that is armed may go on before it is killed anyway: its point is not always passed.
ARMED_S = 12.0

OFF_MS = 2 * 3600 * 1000


def kill_worker(scene: Scene) -> None:
    scene.crew.kill(scene.crew.any_worker())
    scene.let(scene.chance.uniform(0.5, 1.5))


def kill_worker_at_failpoint(scene: Scene) -> None:
    _die_armed(scene, scene.crew.any_worker())


def kill_api(scene: Scene) -> None:
    scene.crew.kill(scene.crew.api)
    scene.until(scene.crew.answers, 30, "row 10", "answering again")


def kill_api_at_failpoint(scene: Scene) -> None:
    _die_armed(scene, scene.crew.api)
    scene.until(scene.crew.answers, 30, "row 10", "answering again")


def kill_api_amid_admission(scene: Scene) -> None:
    """In the middle of a group of prompts that share a transaction: before its commit, or before it is told."""
    when = scene.chance.choice(("before", "after"))
    scene.crew.kill(scene.crew.api, f"store.{when}_commit.admit=kill@{scene.chance.randint(5, 40)}")
    _until_dead(scene, scene.crew.api)
    scene.until(scene.crew.answers, 30, "row 10", "answering again")


def break_admission(scene: Scene) -> None:
    """A group of prompts that share a transaction cannot be committed together: each has to be taken alone."""
    scene.crew.kill(scene.crew.api, f"store.before_commit.admit=raise@{scene.chance.randint(5, 40)}")
    scene.until(scene.crew.answers, 30, "row 10", "answering again")
    scene.let(3)


def freeze_worker(scene: Scene) -> None:
    """At any moment, for longer than its lease."""
    member = scene.crew.any_worker().member
    _freeze(scene, member, scene.lease_s * scene.chance.uniform(1.3, 2.5))


def freeze_worker_with_ends(scene: Scene) -> None:
    """When it is about to hand in what it has done: what it hands in after its lease has to be fenced."""
    _freeze_at(scene, f"engine.before_exchange=stop@{scene.chance.randint(3, 30)}", scene.lease_s * 2 + 1)


def freeze_worker_in_transaction(scene: Scene) -> None:
    """With the rows of sessions locked, to which others post meanwhile; on SQLite with the only lock there is."""
    seconds = scene.lease_s * 2 if scene.is_sqlite else scene.chance.choice((scene.lease_s * 2, 12))
    _freeze_at(scene, f"store.before_commit.exchange=stop@{scene.chance.randint(3, 30)}", seconds)


def skew_clock(scene: Scene) -> None:
    """Two hours off, either way."""
    post = scene.crew.any_worker()
    off = scene.chance.choice((-OFF_MS, OFF_MS))
    scene.crew.kill(post, FAULTS_CLOCK_OFF_MS=str(off))
    scene.let(6)
    scene.crew.kill(post)


def replace_all(scene: Scene) -> None:
    """Ask each to end, one after another, and start another in its place."""
    for post in scene.crew.workers:
        if scene.enough.is_set():
            return
        _replace(scene, post)
    _replace(scene, scene.crew.api)
    scene.until(scene.crew.answers, 30, "row 12", "answering again")


def _replace(scene: Scene, post: Post) -> None:
    try:
        code = scene.crew.retire(post)
    except Exception as error:
        raise Unmet("row 12", f"{post.role} {post.number} did not end when asked to") from error
    if code not in ORDERLY:
        raise Unmet("row 12", f"{post.role} {post.number}, asked to end, ended with {code}")
    scene.let(2)


def _die_armed(scene: Scene, post: Post) -> None:
    scene.crew.kill(post, arm(scene.chance, post.role, scene.ground.kind))
    _until_dead(scene, post)


def _until_dead(scene: Scene, post: Post) -> None:
    """Wait until the armed one that comes has died, or end it."""
    filled = post.filled
    eventually(lambda: post.filled > filled or scene.enough.is_set(), 10, what="the armed one is there")
    armed = post.member
    with contextlib.suppress(AssertionError):
        eventually(lambda: post.member is not armed or scene.enough.is_set(), ARMED_S, what="it dies")
    if post.member is armed:
        scene.crew.kill(post)


def _freeze(scene: Scene, member: Member | None, seconds: float) -> None:
    if member is None or not member.is_alive:
        return
    member.freeze()
    try:
        scene.let(seconds)
    finally:
        if member.is_alive:
            member.thaw()


def _freeze_at(scene: Scene, failpoint: str, seconds: float) -> None:
    post = scene.crew.any_worker()
    filled = post.filled
    scene.crew.kill(post, failpoint)
    eventually(lambda: post.filled > filled or scene.enough.is_set(), 10, what="the armed one is there")
    member = post.member
    if member is None:
        return
    with contextlib.suppress(AssertionError):
        eventually(lambda: member.is_frozen or scene.enough.is_set(), ARMED_S, what="it freezes")
    try:
        if member.is_frozen:
            scene.let(seconds)
    finally:
        if member.is_alive:
            member.thaw()


DEEDS = (
    Deed("worker killed", kill_worker, "workers", weight=12),
    Deed("worker killed at a failpoint", kill_worker_at_failpoint, "workers", weight=3),
    Deed("API killed", kill_api, "servers", weight=2),
    Deed("API killed at a failpoint", kill_api_at_failpoint, "servers"),
    Deed("API killed amid an admission", kill_api_amid_admission, "servers", weight=2),
    # On SQLite the commit that breaks has more in it than admissions.
    Deed("admission of a group broken", break_admission, "servers", databases=("postgres",)),
    Deed("worker frozen", freeze_worker, "workers", weight=3),
    Deed("worker frozen with ends in hand", freeze_worker_with_ends, "workers", weight=2),
    Deed("worker frozen in a transaction", freeze_worker_in_transaction, "workers"),
    Deed("worker's clock two hours off", skew_clock, "workers", databases=("postgres",)),
    Deed("all replaced, one by one", replace_all, "workers", is_gentle=True),
)
