"""`promptq key new`: a key that is seen once, and a file that is whole at every moment."""

import contextlib
import stat
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from cli.exits import CommandError
from cli.key_file import append
from domain.configuration import block_of, parse
from domain.keys import Keyring, make_key
from domain.settings import Settings
from storage.sql.migrate import upgrade
from tests.support.answering_server import AnsweringServer
from tests.support.cli_runs import Promptq
from tests.support.commands import Command, clean_environment
from tests.support.keys import bearer, tenant_of
from tests.support.waiting import eventually

FAILED, USAGE = 1, 2
ROOT = Path(__file__).parents[2]


@pytest.fixture
def promptq(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Promptq:
    for name in ("PROMPTQ_KEY", "PROMPTQ_PASSWORD", "PROMPTQ_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROMPTQ_DATA_DIR", str(tmp_path / "data"))
    return Promptq(monkeypatch, capsys)


def ring_of(path: Path) -> Keyring:
    return parse(path.read_bytes(), path).keyring(password=None)


def test_a_key_is_printed_with_its_lines_for_the_file(promptq: Promptq, tmp_path: Path) -> None:
    key, blank, *lines = promptq.does("key", "new", "alice").splitlines()
    assert not blank
    path = tmp_path / "promptq.toml"
    path.write_text("\n".join(lines))
    assert tenant_of(ring_of(path), key) == "alice"
    assert key not in path.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["promptq.toml"]


def test_the_lines_are_put_into_a_file_that_is_named(promptq: Promptq, tmp_path: Path) -> None:
    path = tmp_path / "promptq.toml"
    runs = [promptq("key", "new", tenant, "--config", str(path)) for tenant in ("alice", "bob", "alice")]
    assert [run.code for run in runs] == [0, 0, 0]
    assert all(f"is in {path} now" in run.err for run in runs)
    ring = ring_of(path)
    assert [tenant_of(ring, run.out.strip()) for run in runs] == ["alice", "bob", "alice"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("before", ["", "# mine\n", "# without an end", "[keys]\n", "\n\n", "[keys]# x\r\n"])
def test_what_was_in_the_file_stays_as_it_was(before: str, tmp_path: Path) -> None:
    path = tmp_path / "promptq.toml"
    path.write_bytes(before.encode())
    path.chmod(0o640)
    key = make_key("alice")
    append(path, block_of(key.id, key.kept))
    assert path.read_bytes().startswith(before.encode())
    assert tomllib.loads(path.read_text())["keys"] == {key.id: {"tenant": "alice", "sha256": key.kept.sha256}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("before", ["[keys\n", "[unknown]\n", "keys = {}\n", b"\xff\n"])
def test_a_file_that_would_not_do_is_left_alone(before: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "promptq.toml"
    path.write_bytes(before.encode() if isinstance(before, str) else before)
    key = make_key("alice")
    with pytest.raises(CommandError, match=r"^no key was made, because .*promptq\.toml, line \d: "):
        append(path, block_of(key.id, key.kept))
    assert path.read_bytes() == (before.encode() if isinstance(before, str) else before)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real.toml").touch()
    (tmp_path / "link.toml").symlink_to(tmp_path / "real.toml")
    key = make_key("alice")
    append(tmp_path / "link.toml", block_of(key.id, key.kept))
    assert (tmp_path / "link.toml").is_symlink()
    assert ring_of(tmp_path / "real.toml").is_needed


def test_keys_that_are_made_at_once_are_all_kept(tmp_path: Path) -> None:
    keys = [make_key(f"tenant{number}") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: append(tmp_path / "promptq.toml", block_of(key.id, key.kept)), keys))
    ring = ring_of(tmp_path / "promptq.toml")
    assert [tenant_of(ring, key.text) for key in keys] == [key.kept.tenant for key in keys]


def test_a_file_that_cannot_be_written_is_named(promptq: Promptq, tmp_path: Path) -> None:
    said = promptq.fails(FAILED, "key", "new", "alice", "--config", str(tmp_path / "nowhere" / "promptq.toml"))
    assert "nowhere/promptq.toml cannot be written, and no key was made: No such file or directory." in said


@pytest.mark.parametrize("tenant", ["", "a b", "a:b", "ä", "-x", "a" * 65])
def test_a_name_that_is_none_is_a_matter_of_usage(promptq: Promptq, tenant: str) -> None:
    assert "a tenant's name is" in promptq.fails(USAGE, "key", "new", "--", tenant)


def test_a_key_from_the_environment_opens_a_server(
    promptq: Promptq, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    path = tmp_path / "promptq.toml"
    keys = {name: promptq("key", "new", name, "--config", str(path)).out.strip() for name in ("alice", "bob")}
    with AnsweringServer(configuration=parse(path.read_bytes(), path)) as server:
        monkeypatch.setenv("PROMPTQ_URL", server.url)
        assert "wants a key or a password" in promptq.fails(FAILED, "session", "list")
        monkeypatch.setenv("PROMPTQ_KEY", make_key("alice").text)
        assert "does not take the key in PROMPTQ_KEY" in promptq.fails(FAILED, "session", "list")
        monkeypatch.setenv("PROMPTQ_KEY", keys["alice"] + "\n")
        assert promptq.does("prompt", "ses_cave", "let me in") == "let me in"
        monkeypatch.setenv("PROMPTQ_KEY", keys["bob"])
        assert promptq.does("session", "list") == ""
        monkeypatch.delenv("PROMPTQ_KEY")
        monkeypatch.setenv("PROMPTQ_PASSWORD", keys["alice"])
        assert promptq.does("session", "list").startswith("ses_cave")


def test_an_api_that_is_started_beside_the_file_asks_for_its_keys(
    promptq: Promptq, tmp_path: Path, free_port: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = promptq("key", "new", "alice", "--config", "promptq.toml").out.strip()
    upgrade(Settings(data_dir=tmp_path / "data"))
    url = f"http://127.0.0.1:{free_port()}"
    environment = {**clean_environment(DATA_DIR=str(tmp_path / "data")), "PYTHONPATH": str(ROOT)}
    arguments = ("-m", "cli.main", "api", "--port", url.rpartition(":")[2])
    with (
        Command(*arguments, output=tmp_path / "output", environment=environment),
        httpx2.Client(base_url=url) as client,
    ):

        def refused() -> bool:
            with contextlib.suppress(httpx2.TransportError):
                return client.get("/session").status_code == 401
            return False

        eventually(refused, 30)
        assert client.get("/session", headers=bearer(key)).json() == []
        monkeypatch.setenv("PROMPTQ_URL", url)
        monkeypatch.setenv("PROMPTQ_KEY", key)
        assert promptq.does("prompt", "ses_a", "hello", "--no-wait").startswith("job_")


@pytest.mark.parametrize("key", ["two words", "schlüssel", "a\x01b"])
def test_what_cannot_be_a_key_is_not_sent(promptq: Promptq, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("PROMPTQ_KEY", key)
    said = promptq.fails(USAGE, "session", "list")
    assert said.startswith("PROMPTQ_KEY is no key")
    assert key not in said


def test_the_command_says_which_version_it_is(promptq: Promptq) -> None:
    assert promptq.does("--version").startswith("promptq ")
