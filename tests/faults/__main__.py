"""`./run faults`: the suite's command."""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.faults import plan as plans
from tests.faults.control import running as control
from tests.faults.figures import Figures
from tests.faults.mutations.catalogue import MUTANTS
from tests.faults.mutations.running import judge_all
from tests.faults.prompts import GOOD_LIMIT
from tests.faults.storm import Storm

DATABASES = ("sqlite", "postgres")


def options(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./run faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="every kind of fault once, on each database")
    parser.add_argument("--minutes", type=float, default=10, help="how long, on each database (10)")
    parser.add_argument("--seed", type=int, help="repeat a run with the same chances")
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    parser.add_argument("--only", action="append", default=[], metavar="FAULT", help="only faults of this kind")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="where the files of broken rounds go")
    parser.add_argument("--round", type=float, default=75, metavar="S", help="how long each round is (75)")
    parser.add_argument("--deadly", type=float, default=0.15, metavar="N", help="how much poison, for the usual (0.15)")
    parser.add_argument("--good-limit", type=int, default=GOOD_LIMIT, metavar="N", help="attempts of good prompts (50)")
    parser.add_argument("--until-broken", action="store_true", help="end with the first round that breaks something")
    parser.add_argument("--mutations", nargs="*", metavar="NAME", help="run promptq broken on purpose: all must show")
    parser.add_argument("--control", action="store_true", help="the same to plain Celery with late acknowledgements")
    parser.add_argument("--list", action="store_true", help="list the kinds of faults")
    return parser.parse_args(arguments)


def say(text: str) -> None:
    print(text, flush=True)


def long_plan(database: str, given: argparse.Namespace) -> Iterator[plans.Plan]:
    return plans.long(
        database,
        given.minutes,
        only=given.only,
        round_s=given.round,
        deadly=given.deadly,
        good_limit=given.good_limit,
    )


def storm(database: str, given: argparse.Namespace, seed: int) -> Figures:
    """Run on one database."""
    directory = Path(tempfile.mkdtemp(prefix="promptq-faults-"))
    directory.chmod(0o711)  # Postgres runs as somebody else if we are root
    rounds = plans.short(database) if given.short else list(long_plan(database, given))
    try:
        say(f"{database}, seed {seed}")
        with Storm(directory, database, seed, rounds[0], say) as running:
            figures = running.run(rounds, until_broken=given.until_broken)
        say(str(figures))
        if figures.violations and given.keep:
            shutil.copytree(
                directory, given.keep / f"{database}-{seed}", ignore=shutil.ignore_patterns("postgres", "*.sock")
            )
            say(f"  the history is in {given.keep}")
        return figures
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    given = options()
    if given.list:
        for deed in plans.of("sqlite") + plans.of("postgres", {"database killed"}):
            say(deed.kind)
        return 0
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1_000_000)
    if given.mutations is not None:
        chosen = [mutant for mutant in MUTANTS if not given.mutations or mutant.name in given.mutations]
        return 0 if chosen and judge_all(chosen, seed, say) else 1
    if given.control:
        say(str(control.run(given.minutes, seed, given.only)))
        return 0
    done = [storm(database, given, seed) for database in DATABASES if given.database in {None, database}]
    return 1 if any(figures.violations for figures in done) else 0


if __name__ == "__main__":
    sys.exit(main())
