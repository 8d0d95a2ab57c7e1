"""What `promptq up` says when something is in the way: a sentence, and no start."""

import os
import socket
import stat
from pathlib import Path

import pytest

from cli import valkey
from cli.doors import is_loopback, refuse_open_api, refuse_open_flower
from cli.environment import read_settings
from cli.refusal import Refusal
from cli.supervisor import records
from cli.supervisor.ports import settle_port, settle_ports
from domain.configuration import Configuration, block_of
from domain.keys import make_key
from tests.support.commands import Command, clean_environment
from tests.support.keys import keyed


def up(tmp_path: Path, *options: str, **settings: str) -> Command:
    environment = clean_environment(DATA_DIR=str(tmp_path / "data"), **settings)
    return Command("-m", "cli.main", "up", *options, output=tmp_path / "output", environment=environment)


def sentence(command: Command) -> str:
    """The one line that a refused command has printed."""
    with command:
        assert command.ends() != 0
    line, *more = command.output.splitlines()
    assert not more, command.output
    assert line.startswith("promptq: ")
    return line.removeprefix("promptq: ")


def test_a_taken_port_is_named_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = sentence(up(tmp_path, "--port", str(port), "--flower-port", "0"))
    assert said == f"port {port} on 127.0.0.1 is taken, so the API cannot listen there: choose another with --port."


def test_a_taken_port_for_flower_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = sentence(up(tmp_path, "--port", "0", "--flower-port", str(port)))
    assert f"port {port} on 127.0.0.1 is taken, so Flower cannot listen there" in said


def test_one_port_for_both_is_refused() -> None:
    with pytest.raises(Refusal, match="cannot both listen on port 4096"):
        settle_ports("127.0.0.1", 4096, 4096)


def test_port_zero_takes_two_different_free_ports() -> None:
    api, flower = settle_ports("127.0.0.1", 0, 0)
    assert flower is not None
    assert len({0, api, flower}) == 3


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(Refusal, match=r"192\.0\.2\.1 is no address of this machine"):
        settle_port("192.0.2.1", 0, what="the API", option="--port")


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert "cannot be written" in sentence(up(tmp_path, "--port", "0", "--flower-port", "0"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    with pytest.raises(Refusal, match="cannot be written: Permission denied"):
        records.prepare(tmp_path / "data" / "deeper")


def test_a_data_directory_on_a_read_only_file_system_is_refused() -> None:
    with pytest.raises(Refusal, match=r"the data directory /proc/promptq cannot be written"):
        records.prepare(Path("/proc/promptq"))


def test_the_data_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    directory = records.prepare(tmp_path / "data")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_second_supervisor_of_a_directory_is_told_who_has_it(tmp_path: Path) -> None:
    first = records.DirectoryLock.take(tmp_path)
    first.describe({"pid": 12345, "url": "http://127.0.0.1:4096"})
    with pytest.raises(Refusal, match=r"already up on .*: process 12345, at http://127\.0\.0\.1:4096\. Stop it first"):
        records.DirectoryLock.take(tmp_path)
    first.release()
    records.DirectoryLock.take(tmp_path).release()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_a_wider_bind_without_a_password_is_refused(host: str, tmp_path: Path) -> None:
    said = sentence(up(tmp_path, "--host", host))
    assert said.startswith(
        f"{host} can be reached from other machines, and there is neither a password nor a key: set PROMPTQ_PASSWORD"
    )
    assert "promptq key new" in said


def test_a_wider_bind_with_a_password_is_let_through() -> None:
    settings = read_settings(host="0.0.0.0", password="long and secret")
    refuse_open_api(settings, Configuration())
    refuse_open_flower(settings, Configuration())


def test_a_wider_bind_with_keys_is_let_through_for_the_api_alone() -> None:
    settings = read_settings(host="0.0.0.0")
    refuse_open_api(settings, keyed("alice")[0])
    with pytest.raises(Refusal, match="Flower takes no keys"):
        refuse_open_flower(settings, keyed("alice")[0])


def test_flower_is_not_open_where_the_api_asks_for_keys(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="Flower shows the work of all tenants and takes no keys"):
        refuse_open_flower(read_settings(), keyed("alice")[0])
    refuse_open_flower(read_settings(password="secret"), keyed("alice")[0])
    key = make_key("alice")
    (tmp_path / "promptq.toml").write_text(block_of(key.id, key.kept))
    said = sentence(up(tmp_path, CONFIG=str(tmp_path / "promptq.toml")))
    assert said.startswith("Flower shows the work of all tenants")
    assert not (tmp_path / "data").exists()


def test_a_password_that_flower_would_read_as_two_is_refused() -> None:
    with pytest.raises(Refusal, match="must have no comma"):
        refuse_open_flower(read_settings(password="one,two"), Configuration())


def test_a_configuration_file_that_cannot_be_honoured_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "promptq.toml").write_text("# mine\n[provider]\n")
    said = sentence(up(tmp_path, CONFIG=str(tmp_path / "promptq.toml")))
    assert said.startswith(f"{tmp_path}/promptq.toml, line 2: unknown 'provider'")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("host", "answer"), [("127.0.0.2", True), ("::1", True), ("localhost", True), ("8.8.8.8", False)]
)
def test_loopback_is_recognised(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


def test_a_setting_out_of_range_is_named_as_it_was_given(tmp_path: Path) -> None:
    assert sentence(up(tmp_path, PORT="90000")).startswith("PROMPTQ_PORT is not right: ")


def test_without_any_redis_the_ways_out_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.7 sha=00000000'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(valkey.ValkeyMissingError, match="Install one of them, or name a server"):
        valkey.find_server()


def test_a_redis_on_path_is_taken_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "redis-server"
    new.write_text("#!/bin/sh\necho 'Redis server v=7.2.4 sha=00000000'\n")
    new.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert valkey.find_server() == new


def test_a_socket_whose_path_would_be_too_long_goes_to_a_short_private_directory(tmp_path: Path) -> None:
    path, made = valkey.socket_for(tmp_path / ("x" * 100))
    assert made is not None
    assert len(str(path)) < 60
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    made.rmdir()
    assert valkey.socket_for(Path("/run/promptq")) == (Path("/run/promptq/valkey.sock"), None)
