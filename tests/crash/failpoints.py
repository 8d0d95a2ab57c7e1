"""The names of all failpoints, by who passes them; and as the source has them, to see that none is missing here."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[2]

#: What the API calls of the store, and on which database a test has it die there: each once, the most important twice.
API_WRITES = {
    "sqlite": ("create", "delete", "admit", "abort"),
    "postgres": ("update", "fork", "admit", "cancel", "retry"),
}
#: What a worker calls of the store, likewise.
WORKER_WRITES = {
    "sqlite": ("exchange", "hold", "expire", "prune"),
    "postgres": ("exchange", "renew", "lapse", "stamp", "learn"),
}
#: Whom it tells of commits.
AUDIENCES = ("notices", "flower")


def around(place: str, names: Sequence[str]) -> list[str]:
    """The points before and after each of some deeds."""
    return [place.format(when) + name for when in ("before", "after") for name in names]


API = {
    "sqlite": [*around("store.{}_commit.", API_WRITES["sqlite"]), "bell.before_publish"],
    "postgres": [*around("store.{}_commit.", API_WRITES["postgres"]), "notices.before_publish"],
}

#: Points that do not depend on the database.
_BETWEEN = [
    *around("engine.{}_", ("exchange", "reconcile", *AUDIENCES)),
    "bell.before_publish",
    "bell.heard",
    "engine.before_renew",
    "engine.start_jobs",
]
WORKER = {
    "sqlite": [*around("store.{}_commit.", WORKER_WRITES["sqlite"]), *_BETWEEN[::2]],
    "postgres": [*around("store.{}_commit.", WORKER_WRITES["postgres"]), *_BETWEEN[1::2]],
}

#: Passed by a worker that follows one of its own name that was lost.
SUCCESSOR = around("store.{}_commit.", ("end_leases",))

#: Tried in tests/storage/test_migrations.py.
MIGRATION = ["migrate.before_commit"]

#: Of bulk prompts. No crash test has a process die there yet: what holds them is tests/storage/batches alone.
UNTRIED = [
    *around("batches.{}_", ("begin", "pass")),
    *around("store.{}_commit.", ("file", "file_part", "batch", "pass", "settle", "settle_watched", "tidy")),
    *around("store.{}_commit.", ("hold_heads", "release_heads", "cancel_jobs")),
]

ALL = {point for points in (*API.values(), *WORKER.values(), SUCCESSOR, MIGRATION, UNTRIED) for point in points}


def in_the_source() -> set[str]:
    """Find the names that promptq's code passes to `failpoint`."""
    names: set[str] = set()
    for path in _sources():
        for name in re.findall(r"""\bfailpoint\(f?"([^"]+)"\)""", path.read_text()):
            names |= set(_spelled_out(name))
    return names


def _spelled_out(name: str) -> Iterator[str]:
    """Put what stands for it in the code in the place of a name's variable part: writes, or audiences."""
    fixed, brace, _ = name.partition("{")
    if not brace:
        yield name
        return
    values = r"""\b_write\(\s*"(\w+)",""" if fixed.startswith("store.") else r"""\baudiences\b[^"\n]*"(\w+)\""""
    for path in _sources():
        for value in re.findall(values, path.read_text()):
            yield fixed + value


def _sources() -> Iterator[Path]:
    for package in ("api", "cli", "domain", "executors", "storage", "tasks"):
        yield from (_ROOT / package).rglob("*.py")
