"""What happens to the database: somebody holds its lock, or it ends and starts again."""

import contextlib
import sqlite3

from tests.faults.deeds.deed import Deed, Scene

#: Longer than promptq waits for a lock.
LOCKED_S = 6.0


def lock(scene: Scene) -> None:
    """A stranger holds all of it."""
    if scene.ground.postgres is None:
        with contextlib.closing(sqlite3.connect(scene.ground.database_file, timeout=10, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            scene.let(LOCKED_S)
            file.execute("ROLLBACK")
    else:
        with scene.ground.postgres.connect() as connection, connection.transaction():
            connection.execute("LOCK TABLE session IN ACCESS EXCLUSIVE MODE")
            scene.let(LOCKED_S)


def restart(scene: Scene) -> None:
    """Postgres crashes, and recovers."""
    postgres = scene.ground.postgres
    assert postgres is not None
    postgres.kill()
    scene.let(scene.chance.choice((0, 2)))
    postgres.start()


DEEDS = (
    Deed("database locked", lock, "servers"),
    Deed("database killed", restart, "servers", databases=("postgres",), weight=2),
)
