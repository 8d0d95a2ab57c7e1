"""What workers report of themselves, over a real Valkey."""

from collections.abc import Iterator

import pytest
import redis

from domain import metrics
from storage.reports import KEPT_MS, Report, Reports
from tests.support.valkey import ValkeyServer


@pytest.fixture
def reports(valkey: ValkeyServer) -> Iterator[Reports]:
    made = Reports(valkey.url, "promptq:")
    yield made
    made.close()


def a_report(name: str = "worker@host", run: str = "1", **fields: object) -> Report:
    return Report(**{"name": name, "id": f"{name}:{run}", "slots": 64, "used": 3, "up_s": 10.0, **fields})  # type: ignore[arg-type]


def test_nobody_reports_in_an_empty_redis(reports: Reports) -> None:
    assert reports.read() == []


def test_a_report_is_read_as_it_was_written_with_its_age(reports: Reports) -> None:
    samples: list[tuple[str, dict[str, str], float]] = [("promptq_worker_slots", {}, 64.0)]
    wire = ("promptq_worker_slots", "gauge", "Prompts that the worker runs at once.", samples)
    written = a_report(draining=True, minute={"started": 2}, families=[wire])
    reports.write(written)
    (heard,) = reports.read()
    assert (heard.report.name, heard.report.used, heard.report.draining) == ("worker@host", 3, True)
    assert heard.report.minute == {"started": 2}
    assert 0 <= heard.age_ms < KEPT_MS
    (family,) = heard.report.figures()
    assert family.metric == metrics.SLOTS
    assert [(name, dict(labels), value) for name, labels, value in family.samples] == samples


def test_workers_are_listed_by_name_and_a_later_report_replaces_an_earlier_one(reports: Reports) -> None:
    reports.write(a_report("b@host"))
    reports.write(a_report("a@host"))
    reports.write(a_report("a@host", used=9))
    assert [(heard.report.name, heard.report.used) for heard in reports.read()] == [("a@host", 9), ("b@host", 3)]


@pytest.mark.parametrize("ended", [True, False])
def test_of_two_runs_of_one_name_the_one_that_lives_or_came_later_counts(reports: Reports, *, ended: bool) -> None:
    reports.write(a_report(run="old", up_s=500.0, ended=ended))
    reports.write(a_report(run="new", up_s=1.0))
    assert [heard.report.id for heard in reports.read()] == ["worker@host:new"]


def test_every_key_has_an_expiry_and_what_expired_is_forgotten(reports: Reports, valkey: ValkeyServer) -> None:
    reports.write(a_report())
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        keys = client.keys("*")
        assert len(keys) == 2
        assert all(client.pttl(key) > 0 for key in keys)
        client.delete("promptq:worker:worker@host:1")
        assert reports.read() == []
        assert client.exists("promptq:workers") == 0


def test_what_another_version_wrote_is_passed_over(reports: Reports, valkey: ValkeyServer) -> None:
    reports.write(a_report())
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        client.set("promptq:worker:worker@host:1", b'{"name": 7}', px=1000)
    assert reports.read() == []


def test_a_redis_that_is_away_is_said(reports: Reports, valkey: ValkeyServer) -> None:
    valkey.kill()
    with pytest.raises((redis.RedisError, OSError)):
        reports.read()
