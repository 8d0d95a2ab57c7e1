"""What happens on the way: networks that are slow, stop, break, or lead nowhere; and a host that is cut off."""

from tests.faults.deeds.deed import Deed, Scene
from tests.support.proxy import Proxy, Weather


def slow_redis(scene: Scene) -> None:
    """Two seconds, each way, for everybody."""
    proxies = [host.redis for host in scene.ground.hosts]
    for proxy in proxies:
        proxy.delay(2)
    try:
        scene.let(5)
    finally:
        for proxy in proxies:
            proxy.delay(0)
    scene.until(scene.all_hear, 60, "row 6", "all workers consuming")


def lose_redis(scene: Scene) -> None:
    """Connections are open, and nobody is at their other end."""
    _storm(scene, [host.redis for host in scene.ground.hosts], Weather.HALF_OPEN, scene.chance.uniform(3, 7))


def cut_redis(scene: Scene) -> None:
    _storm(scene, [host.redis for host in scene.ground.hosts], Weather.CUT, scene.chance.uniform(1, 4))


def freeze_database(scene: Scene) -> None:
    proxies = [host.database for host in scene.ground.hosts if host.database is not None]
    _storm(scene, proxies, Weather.FROZEN, scene.chance.uniform(2, 4))


def cut_database(scene: Scene) -> None:
    proxies = [host.database for host in scene.ground.hosts if host.database is not None]
    _storm(scene, proxies, Weather.CUT, scene.chance.uniform(1, 4))


def cut_host_off(scene: Scene) -> None:
    """The second host sees neither Redis nor a remote database for longer than a lease."""
    host = scene.ground.hosts[1]
    weather = scene.chance.choice((Weather.HALF_OPEN, Weather.FROZEN, Weather.CUT))
    proxies = [proxy for proxy in (host.redis, host.database) if proxy is not None]
    _storm(scene, proxies, weather, scene.lease_s * scene.chance.uniform(1.5, 2.5))


def _storm(scene: Scene, proxies: list[Proxy], weather: Weather, seconds: float) -> None:
    for proxy in proxies:
        proxy.become(weather)
    try:
        scene.let(seconds)
    finally:
        for proxy in proxies:
            proxy.become(Weather.FAIR)
    scene.until(scene.all_hear, 60, "row 6", "all workers consuming")


DEEDS = (
    Deed("Redis slow", slow_redis, "servers"),
    Deed("Redis half-open", lose_redis, "servers"),
    Deed("Redis cut off", cut_redis, "servers"),
    Deed("database frozen", freeze_database, "servers", databases=("postgres",)),
    Deed("database cut off", cut_database, "servers", databases=("postgres",)),
    Deed("host cut off", cut_host_off, "servers", weight=2),
)
