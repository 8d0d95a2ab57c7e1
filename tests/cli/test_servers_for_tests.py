"""The servers that tests are given."""

from collections.abc import Callable

import psycopg
import pytest
import redis

from tests.support.valkey import ValkeyServer
from tests.support.waiting import NeverHappenedError, eventually


def test_valkey_is_empty_for_each_test(valkey: ValkeyServer) -> None:
    with redis.from_url(valkey.url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_valkey_is_empty_after_a_test_left_something(valkey: ValkeyServer) -> None:
    with redis.from_url(valkey.url) as client:
        assert client.dbsize() == 0


def test_valkey_writes_nothing_to_disk_and_evicts_nothing(valkey: ValkeyServer) -> None:
    with redis.from_url(valkey.url) as client:
        assert client.config_get("save")["save"] == ""
        assert client.config_get("appendonly")["appendonly"] == "no"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.bgsave()


def test_valkey_can_be_killed_and_comes_back_empty(valkey: ValkeyServer) -> None:
    with redis.from_url(valkey.url) as client:
        client.set("some", "thing")
    valkey.restart()
    with redis.from_url(valkey.url) as client:
        assert client.dbsize() == 0


def test_each_test_gets_an_empty_postgres_database(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", "")) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
        assert tables == (0,)
        connection.execute("CREATE TABLE something (id int)")


def test_free_ports_are_different(free_port: Callable[[], int]) -> None:
    assert len({free_port() for _ in range(10)}) == 10


def test_waiting_ends_as_soon_as_the_condition_holds() -> None:
    looks = iter([False, False, "yes"])
    assert eventually(lambda: next(looks)) == "yes"


def test_waiting_for_something_that_never_happens_says_what() -> None:
    with pytest.raises(NeverHappenedError, match="pigs fly"):
        eventually(lambda: False, timeout=0.01, what="pigs fly")


def test_waiting_takes_a_failed_assert_as_not_yet() -> None:
    looks = iter([1, 2, 3])

    def look() -> bool:
        assert next(looks) == 3
        return True

    assert eventually(look)
