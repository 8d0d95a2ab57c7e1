"""What the operator is shown: figures for a scraper, and the fleet at a glance."""

import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.operations.census import CensusTaker
from domain.census import Census, Kind
from domain.errors import StoreUnavailable
from domain.metrics import ALL
from storage.opening import open_stores
from storage.reports import Report, Reports
from tests.api.conftest import Api, Apis, a_prompt
from tests.storage.actors import Worker, admit
from tests.support.keys import bearer, keyed
from tests.support.memory_store import MemoryStore
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def reports(valkey: ValkeyServer) -> Iterator[Reports]:
    made = Reports(valkey.url, "promptq:")
    yield made
    made.close()


def a_report(name: str, **fields: Any) -> Report:
    return Report(name=name, id=f"{name}:1", up_s=10.0, **{"slots": 64, "used": 3, **fields})


def scraped(api: Api, **headers: str) -> Samples:
    """All samples of a scrape. No name comes twice with the same labels."""
    answer = api.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    listed = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    ]
    found = dict(listed)
    assert len(found) == len(listed)
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


@pytest.fixture(autouse=True)
def _counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count at each question: tests do not wait."""
    monkeypatch.setattr("api.operations.census.SHORTEST_PAUSE_S", 0.0)
    monkeypatch.setattr("api.operations.census.SHARE", 0)


def test_open_jobs_are_shown_by_state_and_by_what_they_wait_for(api: Api) -> None:
    api.prompt("ses_a")
    api.worker.claim_one()
    api.prompt("ses_a")
    api.prompt("ses_b")
    api.prompt("ses_c", notBefore=4_102_444_800_000)
    samples = scraped(api)
    assert value(samples, "promptq_jobs", kind="durable", state="running") == 1
    assert value(samples, "promptq_jobs", kind="durable", state="queued") == 3
    waiting = {reason: value(samples, "promptq_jobs_waiting", kind="durable", reason=reason) for reason in _REASONS}
    assert waiting == {"worker": 1, "time": 1, "session": 1}
    assert value(samples, "promptq_oldest_ready_seconds", kind="durable") >= 0
    assert value(samples, "promptq_store_up", kind="durable") == 1


_REASONS = ("worker", "time", "session")


def test_what_this_api_took_and_ended_is_counted(api: Api) -> None:
    api.prompt("ses_a", messageID="msg_1")
    api.prompt("ses_a", messageID="msg_1")
    job = api.job(api.prompt("ses_b"))
    api.post(f"/job/{job['id']}/cancel")
    samples = scraped(api)
    assert value(samples, "promptq_prompts_admitted_total", kind="durable", disposition="admitted") == 2
    assert value(samples, "promptq_prompts_admitted_total", kind="durable", disposition="repeated") == 1
    assert value(samples, "promptq_jobs_ended_total", kind="durable", state="cancelled") == 1
    assert value(samples, "promptq_open_streams") == 0


def test_what_workers_report_is_shown_with_their_names(
    memory_apis: Apis, valkey: ValkeyServer, reports: Reports
) -> None:
    family: Any = ("promptq_ends_fenced_total", "counter", "help", [("promptq_ends_fenced_total", {}, 5.0)])
    slots: Any = ("promptq_worker_slots", "gauge", "help", [("promptq_worker_slots", {}, 64.0)])
    reports.write(a_report("one@host", families=[family, slots]))
    reports.write(a_report("two@host", families=[family]))
    samples = scraped(memory_apis.start(redis_url=valkey.url))
    assert value(samples, "promptq_workers") == 2
    assert value(samples, "promptq_ends_fenced_total", worker="one@host") == 5
    assert value(samples, "promptq_ends_fenced_total", worker="two@host") == 5
    assert value(samples, "promptq_worker_slots", worker="one@host") == 64


@pytest.mark.parametrize("apis", ["sqlite"], indirect=True)
def test_ephemeral_prompts_are_counted_beside_durable_ones(apis: Apis, valkey: ValkeyServer) -> None:
    settings = apis.settings(redis_url=valkey.url)
    api = apis.start(open_stores(settings), redis_url=valkey.url)
    api.prompt("ses_tmp_a")
    api.prompt("ses_a")
    samples = scraped(api)
    for kind in ("durable", "ephemeral"):
        assert value(samples, "promptq_jobs", kind=kind, state="queued") == 1
        assert value(samples, "promptq_prompts_admitted_total", kind=kind, disposition="admitted") == 1


def test_every_figure_is_in_the_catalogue(api: Api) -> None:
    api.prompt()
    families = text_string_to_metric_families(api.get("/metrics").text)
    ours = [family for family in families if family.name.startswith("promptq_")]
    assert len(ours) >= 8
    for family in ours:
        known = ALL[f"{family.name}_total" if family.type == "counter" else family.name]
        assert (family.documentation, family.type) == (known.help, known.type)
        assert all(set(sample.labels) == set(known.labels) for sample in family.samples)


def test_no_content_and_no_name_of_a_session_is_in_the_figures(api: Api) -> None:
    api.prompt("ses_secret_name", "the secret text", metadata={"x": "secret"})
    api.worker.run()
    assert "secret" not in api.get("/metrics").text


def test_the_status_tells_who_works_what_waits_and_for_what(
    memory_apis: Apis, valkey: ValkeyServer, reports: Reports
) -> None:
    minute = {"started": 7, "succeeded": 5, "unsuccessful": 1}
    reports.write(a_report("one@host", minute=minute))
    reports.write(a_report("two@host", draining=True, minute=minute))
    reports.write(a_report("three@host", ended=True, used=0))
    api = memory_apis.start(redis_url=valkey.url)
    first = api.job(api.prompt("ses_a", "a secret", priority=7))
    api.prompt("ses_a", "a secret")
    status = api.get("/status").json()
    assert [(worker["name"], worker["state"]) for worker in status["workers"]] == [
        ("one@host", "running"),
        ("three@host", "ended"),
        ("two@host", "draining"),
    ]
    assert status["slots"] == {"used": 6, "total": 64}
    assert status["minute"] == {"started": 14, "succeeded": 10, "unsuccessful": 2}
    assert status["degraded"] == []
    jobs = status["jobs"]["durable"]
    assert (jobs["queued"], jobs["running"], jobs["waiting"]) == (2, 0, {"worker": 1, "time": 0, "session": 1})
    (longest,) = status["longest"]
    assert (longest["jobID"], longest["sessionID"], longest["tenant"]) == (first["id"], "ses_a", "default")
    assert "secret" not in json.dumps(status)


def test_without_a_redis_no_worker_is_known_and_that_is_said(api: Api) -> None:
    status = api.get("/status").json()
    assert (status["workers"], status["degraded"]) == ([], ["redis"])
    assert ("promptq_workers", frozenset()) not in scraped(api)


class Away(MemoryStore):
    """Cannot count while it is away."""

    away = False

    def census(self) -> dict[Kind, Census]:
        if self.away:
            raise StoreUnavailable("away")
        return super().census()


def test_while_the_database_is_away_the_counts_before_are_shown_with_their_age(memory_apis: Apis) -> None:
    store = Away()
    api = memory_apis.start(store)
    api.prompt()
    assert api.get("/status").json()["degraded"] == ["redis"]
    store.away = True
    status = api.get("/status").json()
    assert status["degraded"] == ["store", "redis"]
    assert status["jobs"]["durable"]["queued"] == 1
    assert status["jobsAge"] > 0
    assert value(scraped(api), "promptq_store_up", kind="durable") == 0


CONFIGURATION, KEYS = keyed("alice", "bob")
OPERATORS = ("/metrics", "/status")


def test_a_tenants_key_does_not_open_what_is_of_all_tenants(memory_apis: Apis) -> None:
    api = memory_apis.start(configuration=CONFIGURATION, password="sesame")
    for path in OPERATORS:
        refused = api.get(path, headers=bearer(KEYS["alice"]))
        assert (refused.status_code, refused.json()["name"]) == (403, "ForbiddenError")
        assert api.get(path).status_code == 401
        assert api.get(path, headers=bearer("sesame")).status_code == 200


def test_the_password_for_metrics_opens_them_and_nothing_else(memory_apis: Apis) -> None:
    api = memory_apis.start(configuration=CONFIGURATION, password="sesame", metrics_password="for scrapers")
    for path in OPERATORS:
        assert api.get(path, headers=bearer("for scrapers")).status_code == 200
        assert api.get(path, auth=("prometheus", "for scrapers")).status_code == 200
        assert api.get(path, headers=bearer("sesame")).status_code == 200
        assert api.get(path, headers=bearer(KEYS["alice"])).status_code == 403
        assert api.get(path, headers=bearer("wrong")).status_code == 401
    for path in ("/session", "/job", "/readyz", "/event"):
        assert api.get(path, headers=bearer("for scrapers")).status_code == 401


def test_the_password_for_metrics_closes_them_also_where_all_else_is_open(memory_apis: Apis) -> None:
    api = memory_apis.start(metrics_password="for scrapers")
    assert api.get("/session").status_code == 200
    for path in OPERATORS:
        assert api.get(path).status_code == 401
        assert api.get(path, headers=bearer("for scrapers")).status_code == 200


def test_all_tenants_are_counted_together(memory_apis: Apis) -> None:
    api = memory_apis.start(configuration=CONFIGURATION, password="sesame")
    for tenant in KEYS:
        api.post("/session/ses_a/prompt_async", a_prompt(), headers=bearer(KEYS[tenant]))
    samples = scraped(api, **bearer("sesame"))
    assert value(samples, "promptq_jobs", kind="durable", state="queued") == 2
    assert "alice" not in api.get("/metrics", headers=bearer("sesame")).text


def test_an_unknown_parameter_is_refused(api: Api) -> None:
    for path in OPERATORS:
        assert api.get(f"{path}?nonsense=1").status_code == 400


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_count_that_takes_long_is_made_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    clock, counts = Clock(), []

    def count() -> dict[Kind, Census]:
        counts.append(clock.now)
        clock.now += 2
        return {"durable": Census(running=len(counts))}

    taker = CensusTaker(count, clock)
    assert taker.take().counts["durable"].running == 1
    clock.now += 99
    assert taker.take().counts["durable"].running == 1
    assert taker.take().age_s == 101
    clock.now += 2
    assert taker.take().counts["durable"].running == 2


def test_while_one_counts_others_are_told_the_counts_before(monkeypatch: pytest.MonkeyPatch) -> None:
    counting, go_on = threading.Event(), threading.Event()
    store = MemoryStore()

    def count() -> dict[Kind, Census]:
        if counting.is_set():
            assert go_on.wait(10)
        counting.set()
        return dict(store.census())

    taker = CensusTaker(count)
    assert taker.take().counts["durable"].queued == 0
    admit(store)
    Worker(store)
    other = threading.Thread(target=taker.take)
    other.start()
    eventually(taker._lock.locked)
    assert taker.take().counts["durable"].queued == 0
    go_on.set()
    other.join()
    assert taker.take().counts["durable"].queued == 1
