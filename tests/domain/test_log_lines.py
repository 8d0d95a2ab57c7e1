"""Log lines: one a record, in either format, and never what somebody wrote in a prompt."""

import json
import logging
import sys
from typing import Any

import pytest

from domain.log_lines import Lines, LogFormat, Quiet, fields_of
from domain.settings import Settings

SECRET = "the text of a prompt"


def a_record(name: str, message: str, level: int = logging.INFO, **more: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": name, "levelname": logging.getLevelName(level), "levelno": level, "msg": message, **more}
    )


def broken(name: str) -> logging.LogRecord:
    nothing: dict[str, str] = {}
    try:
        nothing[SECRET] += ""
    except KeyError:
        return a_record(name, "it_broke", logging.ERROR, exc_info=sys.exc_info())
    raise AssertionError("nothing has no such key")


def test_a_record_in_text_is_its_time_level_logger_event_and_fields() -> None:
    line = Lines("text").format(a_record("tasks.engine", "end_fenced", created=0.0, job="job_1", attempt=2))
    assert line == "1970-01-01T00:00:00.000Z info tasks.engine end_fenced job=job_1 attempt=2"


def test_a_record_in_json_is_one_object_with_the_same_fields() -> None:
    line = Lines("json").format(a_record("tasks.engine", "end_fenced", created=0.0, job="job_1", attempt=2))
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "info",
        "logger": "tasks.engine",
        "event": "end_fenced",
        "job": "job_1",
        "attempt": 2,
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("name", ["api.errors", "asyncio"])
def test_an_exception_is_told_by_its_type_and_places_and_not_by_its_words(log_format: LogFormat, name: str) -> None:
    line = Lines(log_format).format(broken(name))
    assert "KeyError" in line
    assert "test_log_lines.py:" in line
    assert SECRET not in line
    assert "\n" not in line


def test_what_another_library_adds_to_its_record_is_not_written() -> None:
    record = a_record("celery.worker.strategy", "Task received", data={"args": SECRET})
    assert list(fields_of(record)) == ["time", "level", "logger", "event"]


def test_of_what_another_library_says_only_the_first_line_is_kept() -> None:
    record = a_record("asyncio", f"\nTask exception was never retrieved\nfuture: <Task {SECRET}>")
    assert fields_of(record)["event"] == "Task exception was never retrieved"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_line_break_in_a_field_stays_in_its_line(log_format: LogFormat) -> None:
    assert "\n" not in Lines(log_format).format(a_record("api", "x", field="a\nb"))


@pytest.mark.parametrize(
    ("name", "level", "passes"),
    [
        ("tasks.engine.engine", logging.DEBUG, True),
        ("celery.worker", logging.INFO, True),
        ("celery.concurrency.base", logging.DEBUG, False),
        ("sqlalchemy.engine.Engine", logging.INFO, False),
        ("openai._base_client", logging.DEBUG, False),
        ("httpx2", logging.INFO, False),
        ("kombu", logging.WARNING, True),
    ],
)
def test_other_libraries_never_speak_in_detail(name: str, level: int, passes: bool) -> None:
    assert Quiet().filter(a_record(name, "x", level)) is passes


def test_a_level_may_be_written_in_small_letters() -> None:
    assert Settings.model_validate({"log_level": "debug"}).log_level == "DEBUG"
