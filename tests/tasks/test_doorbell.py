"""The doorbell: one message for many rings, never in the way of who rings."""

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from kombu import Connection

from domain.settings import Settings
from tasks.broker import BELL_QUEUE, NO_BROKER
from tasks.doorbell import GAP_S, MOST_UNHEARD, Doorbell
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

QUEUE = "promptq:promptq.bell"
KEY = "promptq:bell"


@pytest.fixture
def client(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(valkey.socket)) as client:
        yield client


@pytest.fixture
def make_bell(valkey: ValkeyServer) -> Iterator[Callable[[], Doorbell]]:
    made: list[Doorbell] = []

    def make() -> Doorbell:
        made.append(Doorbell(Settings.model_validate({"redis_url": valkey.url})))
        return made[-1]

    yield make
    for bell in made:
        bell.close()


def test_many_rings_of_many_processes_become_one_message(
    client: redis.Redis, make_bell: Callable[[], Doorbell]
) -> None:
    bells = [make_bell(), make_bell()]
    for _ in range(500):
        for bell in bells:
            bell.ring()
    for bell in bells:
        bell.close()
    assert client.llen(QUEUE) == 1
    assert 0 < client.pttl(KEY) <= 1_000


def test_a_ring_after_the_key_was_removed_is_heard_anew(client: redis.Redis, make_bell: Callable[[], Doorbell]) -> None:
    bell = make_bell()
    bell.ring()
    eventually(lambda: client.llen(QUEUE) == 1)
    client.delete(KEY)
    bell.ring()
    eventually(lambda: client.llen(QUEUE) == 2)


def test_bells_that_nobody_hears_do_not_pile_up(client: redis.Redis, make_bell: Callable[[], Doorbell]) -> None:
    client.lpush(QUEUE, *["{}"] * MOST_UNHEARD)
    bell = make_bell()
    bell.ring()
    bell.close()
    assert client.llen(QUEUE) == MOST_UNHEARD


def test_ringing_without_redis_returns_at_once_and_is_logged_once(
    valkey: ValkeyServer,
    client: redis.Redis,
    make_bell: Callable[[], Doorbell],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bell = make_bell()
    bell.ring()
    eventually(lambda: client.llen(QUEUE) == 1)
    valkey.kill()

    def warned() -> int:
        return sum(record.message == "bell_not_rung" for record in caplog.records)

    with caplog.at_level(logging.INFO):
        began = time.monotonic()
        bell.ring()
        assert time.monotonic() - began < 0.1
        eventually(lambda: warned() == 1)
        valkey.start()
        bell.ring()
        eventually(lambda: client.llen(QUEUE) == 1)
        eventually(lambda: any(record.message == "bell_rung_again" for record in caplog.records))
    assert warned() == 1


def test_a_frozen_redis_holds_up_nobody(valkey: ValkeyServer, make_bell: Callable[[], Doorbell]) -> None:
    bell = make_bell()
    bell.ring()
    valkey.freeze()
    began = time.monotonic()
    for _ in range(100):
        bell.ring()
    assert time.monotonic() - began < 0.1
    bell.close()
    assert time.monotonic() - began < 2
    valkey.thaw()


def test_a_broker_that_is_not_redis_is_rung_at_most_twenty_times_a_second() -> None:
    bell = Doorbell(Settings.model_validate({"broker_url": NO_BROKER}))
    with Connection(NO_BROKER) as connection:
        queue: Callable[[str], Any] = connection.channel().queue_declare
        queue(BELL_QUEUE)
        began = time.monotonic()
        while time.monotonic() - began < 0.2:
            bell.ring()
        bell.close()
        assert 2 <= queue(BELL_QUEUE).message_count <= 1 + (time.monotonic() - began) / GAP_S + 1


def test_without_a_broker_nothing_is_rung() -> None:
    bell = Doorbell(Settings())
    bell.ring()
    bell.close()


def test_who_rings_loads_neither_celery_nor_the_engine() -> None:
    code = "import sys, tasks.doorbell; print([m for m in sys.modules if m.startswith(('celery', 'tasks.engine'))])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
