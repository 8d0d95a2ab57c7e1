"""Each row of the benchmark runs, small. No figure is looked at: what a machine does in a second is no test."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import rendering
from benchmarks.figures import Report, Scale
from benchmarks.ground import Ground
from benchmarks.machine import Machine
from benchmarks.rows import ROWS
from tests.support.postgres import PostgresServer
from tests.support.valkey import ValkeyServer

MACHINE = Machine({"processor": "one of some kind"})


@pytest.fixture
def ground(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Ground]:
    made = Ground(tmp_path, valkey, Scale.TINY, kinds=["sqlite"], tells=False)
    yield made
    made.close()


@pytest.mark.parametrize("row", ROWS)
def test_a_row_measures_promptq_on_sqlite_beside_plain_celery(row: str, ground: Ground) -> None:
    assert_is_whole(ROWS[row](ground), row, "SQLite")


@pytest.mark.parametrize("row", ["seconds", "history"])
def test_a_row_that_writes_rows_itself_does_so_on_postgres(
    row: str, ground: Ground, postgres_server: PostgresServer
) -> None:
    ground.kinds, ground.postgres = ["postgres"], postgres_server
    assert_is_whole(ROWS[row](ground), row, "Postgres")


def assert_is_whole(report: Report, row: str, database: str) -> None:
    """Hold a report to what every reader of one needs."""
    assert report.row == row
    assert any(database in line.case for line in report.lines)
    beside = any("plain Celery" in line.case or "apply_async" in line.case for line in report.lines)
    assert beside or row in {"history", "events"}
    assert all(value > 0 for line in report.lines if row != "memory" for value in line.sample.values)
    assert len({line.case for line in report.lines}) == len(report.lines)
    for line in report.lines:
        assert line.case in rendering.as_text(report)
        assert f"| {line.case} |" in rendering.as_markdown([report], MACHINE, "./run bench")
    told = json.loads(rendering.as_json([report], MACHINE, "./run bench"))
    assert [line["sample"]["unit"] for line in told["rows"][0]["lines"]] == [line.sample.unit for line in report.lines]
