"""The logs of every process of `promptq up`, as a program that gathers them reads them."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx2
import pytest

from cli import running
from cli.supervisor.logs import Log
from tests.support.commands import Command, clean_environment

pytestmark = pytest.mark.xdist_group("up")

SECRET = "zanzibar-quagga"


def objects(text: str) -> list[dict[str, Any]]:
    """Each line as the object that it must be."""
    return [json.loads(line) for line in text.splitlines()]


def test_in_json_every_line_of_every_process_is_an_object_without_content(tmp_path: Path) -> None:
    data = tmp_path / "data"
    arguments = ("-m", "cli.main", "up", "--port", "0", "--no-flower")
    settings = {"DATA_DIR": str(data), "LOG_FORMAT": "json", "LOG_LEVEL": "debug", "ECHO_FAULTS": "1"}
    with Command(*arguments, output=tmp_path / "up.log", environment=clean_environment(**settings)) as up:
        up.says('"up_ready"', timeout=60)
        found = running.find(data)
        assert found is not None
        for echo in ({}, {"fail": "permanent"}):
            body = {"parts": [{"type": "text", "text": SECRET}], "metadata": {"echo": echo}}
            answer = httpx2.post(f"{found.url}/session/ses_a/message", json=body, timeout=60)
            assert answer.status_code == 200, answer.text
        wrong = httpx2.post(f"{found.url}/session/ses_a/message", json={"parts": SECRET})
        assert wrong.status_code == 400
        os.kill(found.children["worker"], signal.SIGKILL)
        up.says('"child_back"')
        up.send(signal.SIGTERM)
        assert up.ends() == 0
        spoken = objects(up.output)
    written = {name: (data / "logs" / f"{name}.log").read_text() for name in ("api", "worker")}
    assert {"child_died", "child_back", "up_ready"} <= {each["event"] for each in spoken}
    (died,) = [each for each in spoken if each["event"] == "child_died"]
    assert (died["child"], died["why"]) == ("worker", "killed by SIGKILL")
    worker = objects(written["worker"])
    assert {"engine_started", "engine_stopped"} <= {each["event"] for each in worker}
    for record in [*spoken, *worker, *objects(written["api"])]:
        assert list(record)[:4] == ["time", "level", "logger", "event"]
    assert SECRET not in "".join(written.values()) + up.output


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Log, IO[bytes]]]:
    """A log that may be a hundred bytes long, and what its child writes into."""
    monkeypatch.setattr("cli.supervisor.logs.LARGEST", 100)
    log = Log(tmp_path / "worker.log")
    with log.open() as output:
        yield log, output


def test_a_log_that_has_grown_too_large_is_put_aside_while_its_child_goes_on(
    written: tuple[Log, IO[bytes]],
) -> None:
    log, output = written
    output.write(b"error one\n" * 11)
    assert len(log.new_lines()) == 11
    log.keep_small()
    output.write(b"error two\n")
    assert log.new_lines() == ["error two"]
    assert log.last_lines(5) == ["error two"]
    aside = log.path.with_name("worker.log.1")
    assert aside.read_bytes() == b"error one\n" * 11
    assert stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert log.path.read_bytes() == b"error two\n"


def test_a_log_that_somebody_else_rotates_is_read_on(written: tuple[Log, IO[bytes]]) -> None:
    log, output = written
    output.write(b"error one\n" * 3)
    log.new_lines()
    os.truncate(log.path, 0)  # as logrotate's copytruncate
    log.keep_small()
    output.write(b"error two\n")
    assert log.new_lines() == ["error two"]
