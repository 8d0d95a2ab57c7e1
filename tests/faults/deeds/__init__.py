"""What is done to the fleet: each deed does one thing, undoes it, and says what did not come back in time."""

from tests.faults.deeds import databases, disks, networks, redis, workers
from tests.faults.deeds.deed import Deed, Scene

__all__ = ["ALL", "Deed", "Scene"]

ALL: tuple[Deed, ...] = (*workers.DEEDS, *redis.DEEDS, *databases.DEEDS, *networks.DEEDS, *disks.DEEDS)
