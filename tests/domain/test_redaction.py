"""What is taken out of sentences, and what is left in them."""

import json
import logging

import pytest

from domain.keys import make_key
from domain.log_lines import Lines
from domain.redaction import redacted
from storage.sql.transactions import unavailable


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "no redis://:sesame@cache.test:6379/0: away",
            "no redis://:***@cache.test:6379/0: away",
        ),
        ("postgresql+psycopg://me:sesame@db.test/promptq", "postgresql+psycopg://me:***@db.test/promptq"),
        ("amqp://me:ses@me@db.test//", "amqp://me:***@db.test//"),
        ("amqp://me:ses%2Fame@db.test//", "amqp://me:***@db.test//"),
        ("two: redis://:a@x/0 redis://u:b@y/1", "two: redis://:***@x/0 redis://u:***@y/1"),
        ("unix:///run/redis.sock?password=sesame&db=0", "unix:///run/redis.sock?password=***&db=0"),
        ("host=db.test password=sesame user=me", "host=db.test password=*** user=me"),
        ("host=db.test password='open sesame' user=me", "host=db.test password='***' user=me"),
        ("Authorization: Bearer sesame.sesame-1", "Authorization: Bearer ***"),
        ("authorization: basic b3BlbmNvZGU6c2VzYW1l", "authorization: basic ***"),
        ('{"password": "sesame"}', '{"password": "***"}'),
    ],
)
def test_secrets_are_taken_out(said: str, shown: str) -> None:
    assert redacted(said) == shown


def test_of_a_key_only_its_id_is_left() -> None:
    key = make_key("alice")
    assert redacted(f"who is {key.text}?") == f"who is promptq_{key.id}_***?"


@pytest.mark.parametrize(
    "said",
    [
        "worker@here ready.",
        "http://127.0.0.1:4096/session/ses_a",
        "redis://cache.test:6379/0",
        "postgresql://me@db.test/promptq",
        'connection failed: FATAL: password authentication failed for user "me"',
        "the bearer of this, on a basic level",
        "promptq_data",
        "3 tests passed: all",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    assert redacted(said) == said


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("logger", ["api.doors", "kombu.connection"])
def test_no_line_of_a_log_has_a_secret(log_format: str, logger: str) -> None:
    record = logging.makeLogRecord(
        {"name": logger, "levelname": "ERROR", "msg": "cannot reach %s", "args": ("redis://:sesame@cache.test/0",)}
    )
    record.said = 'password="sesame"'
    record.url = "amqp://me:sesame@broker.test//"
    line = Lines("json" if log_format == "json" else "text").format(record)
    assert "redis://:***@cache.test/0" in line
    assert "sesame" not in line
    assert log_format == "text" or json.loads(line)["logger"] == logger


def test_no_refusal_has_a_secret_that_a_driver_repeats() -> None:
    error = unavailable(RuntimeError("cannot connect to postgresql://me:sesame@db.test/promptq"))
    assert str(error).endswith("postgresql://me:***@db.test/promptq")
