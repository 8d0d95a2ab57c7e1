"""What happens to Redis, where it is: it ends, forgets, stands still, is full."""

import redis

from tests.faults.deeds.deed import Deed, Scene

#: Less than it already uses.
FULL_BYTES = 200_000


def kill(scene: Scene) -> None:
    """For a moment, or for some seconds."""
    scene.ground.valkey.kill()
    scene.let(scene.chance.choice((0, 0.5, 3)))
    scene.ground.valkey.start()
    scene.until(scene.all_hear, 30, "row 4", "all workers consuming")


def flush(scene: Scene) -> None:
    scene.ground.valkey.flush()
    scene.until(scene.all_hear, 30, "row 5", "all workers consuming")


def freeze(scene: Scene) -> None:
    scene.ground.valkey.freeze()
    scene.let(scene.chance.uniform(3, 7))
    scene.ground.valkey.thaw()
    scene.until(scene.all_hear, 60, "row 6", "all workers consuming")


def fill(scene: Scene) -> None:
    with redis.Redis(unix_socket_path=str(scene.ground.valkey.socket), socket_timeout=10) as client:
        client.config_set("maxmemory", FULL_BYTES)
        try:
            scene.let(scene.chance.uniform(2, 4))
        finally:
            client.config_set("maxmemory", 0)
    scene.until(scene.all_hear, 60, "row 7", "all workers consuming")


DEEDS = (
    Deed("Redis killed", kill, "servers", loses_redis=True, weight=5),
    Deed("Redis flushed", flush, "servers", loses_redis=True, weight=6),
    Deed("Redis frozen", freeze, "servers"),
    Deed("Redis full", fill, "servers"),
)
