"""The command lines of the roles, and what is shown of settings."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import cli
from cli import roles
from cli.environment import read_settings, remarks_on
from cli.refusal import Refusal
from cli.supervisor.banner import without_password
from cli.supervisor.logs import is_serious
from domain.settings import Settings
from tests.support.commands import clean_environment


def test_a_password_is_never_on_a_command_line() -> None:
    settings = read_settings(password="very-secret", redis_url="redis://:very-secret@redis.test/0")
    for role in (roles.api, roles.worker, roles.flower, roles.migrate):
        made = role(settings, clean_environment())
        assert "very-secret" not in " ".join(made.command)
        assert "very-secret" not in repr(made)


def test_flower_asks_for_the_password_that_the_api_asks_for() -> None:
    environment = roles.flower(read_settings(password="very-secret"), clean_environment()).environment
    assert environment["FLOWER_BASIC_AUTH"] == "opencode:very-secret"


def test_flower_ignores_a_port_that_an_orchestrator_put_in_its_way() -> None:
    role = roles.flower(read_settings(), {**clean_environment(), "FLOWER_PORT": "tcp://10.0.0.1:5555"})
    assert "FLOWER_PORT" not in role.environment
    assert "--port=5555" in role.command


def test_options_reach_the_role_by_its_environment(tmp_path: Path) -> None:
    settings = read_settings(host="127.0.0.3", port=4100, data_dir=tmp_path, concurrency=7)
    environment = roles.worker(settings, clean_environment()).environment
    assert environment["PROMPTQ_HOST"] == "127.0.0.3"
    assert environment["PROMPTQ_PORT"] == "4100"
    assert environment["PROMPTQ_DATA_DIR"] == str(tmp_path)
    assert environment["PROMPTQ_CONCURRENCY"] == "7"


@pytest.mark.parametrize("role", [roles.api, roles.worker, roles.flower, roles.migrate])
def test_no_role_starts_with_a_configuration_file_that_it_cannot_honour(
    role: Callable[[Settings, dict[str, str]], roles.Role], tmp_path: Path
) -> None:
    (tmp_path / "mine.toml").write_text('\n[keys.a]\ntenant = "x"\n')
    settings = read_settings(config=tmp_path / "mine.toml")
    with pytest.raises(Refusal, match=r"mine\.toml, line 2: \[keys\.a\] lacks 'sha256'\.$") as caught:
        role(settings, clean_environment())
    assert caught.value.exit_code == 2


def test_a_configuration_file_that_was_named_reaches_the_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").touch()
    named = roles.api(read_settings(config="mine.toml"), clean_environment())
    assert named.environment["PROMPTQ_CONFIG"] == str(tmp_path / "mine.toml")
    assert "PROMPTQ_CONFIG" not in roles.api(read_settings(), clean_environment()).environment


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PROMPTQ_CONCURENCY", "; did you mean PROMPTQ_CONCURRENCY?"),
        ("PROMPTQ_DATADIR", "; did you mean PROMPTQ_DATA_DIR?"),
        ("PROMPTQ_DATABASE", "; did you mean PROMPTQ_DATABASE_URL?"),
        ("PROMPTQ_FROBNICATE", "."),
    ],
)
def test_what_looks_like_a_setting_and_is_none_is_remarked_on(name: str, hint: str) -> None:
    names = ["PATH", "PROMPTQ_PORT", name, "NOT_PROMPTQ_PORT"]
    assert remarks_on(names) == [f"{name} is no setting of promptq's, and does nothing{hint}"]


def test_all_variables_that_promptq_reads_are_known_to_it() -> None:
    root = Path(cli.__file__).parents[1]
    files = [path for part in ("api", "cli", "domain", "executors", "storage", "tasks") for path in root.glob(part)]
    text = "".join(path.read_text() for directory in files for path in directory.rglob("*.py"))
    named = set(re.findall(r"\bPROMPTQ_[A-Z][A-Z_]*[A-Z]", text + (root / "run").read_text()))
    assert {"PROMPTQ_PASSWORD", "PROMPTQ_KEY", "PROMPTQ_PYTHON"} <= named
    assert remarks_on(named) == []


def test_a_role_speaks_of_misspelt_settings_when_it_starts(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", "migrate"],
        env=clean_environment(DATA_DIR=str(tmp_path), CONCURENCY="7"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr.splitlines()[0] == (
        "promptq: warning: PROMPTQ_CONCURENCY is no setting of promptq's, and does nothing; "
        "did you mean PROMPTQ_CONCURRENCY?"
    )


@pytest.mark.parametrize("name", ["api", "tasks", "storage"])
def test_a_directory_of_the_same_name_where_the_command_is_typed_is_not_imported(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong one')")
    subprocess.run([sys.executable, "-P", "-c", f"import {name}"], cwd=tmp_path, check=True)


def test_the_roles_name_modules_that_exist() -> None:
    for module in ("api.main", "tasks.main", "storage.sql.migrate"):
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:secret@cache.test:6379/0", "redis://:***@cache.test:6379/0"),
        (
            "postgresql+psycopg://me:secret@db.test/promptq?sslmode=require",
            "postgresql+psycopg://me:***@db.test/promptq",
        ),
        ("redis://cache.test/1", "redis://cache.test/1"),
        ("unix:///run/redis.sock?password=secret", "unix:///run/redis.sock"),
    ],
)
def test_urls_are_shown_without_passwords(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("[2026-01-01 12:00:00,000: WARNING/MainProcess] the broker is away", True),
        ("ERROR:    [Errno 98] error while attempting to bind on address", True),
        ("123:M 01 Jan 2026 12:00:00.000 # Out of memory allocating 10 bytes", True),
        ("123:M 01 Jan 2026 12:00:00.000 * Ready to accept connections", False),
        ("[2026-01-01 12:00:00,000: INFO/MainProcess] worker@here ready.", False),
        ("INFO job ended " + "x" * 120 + " error", False),
    ],
)
def test_serious_lines_are_told_from_others(line: str, answer: bool) -> None:
    assert is_serious(line) is answer


def test_help_is_quick_to_come() -> None:
    """No heavy library is loaded for it: measured in modules, which do not depend on the machine's load."""
    code = (
        "import sys; sys.argv = ['promptq', '--help']\n"
        "from cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print(*sorted(sys.modules), sep='\\n', file=sys.stderr)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100"}
    )
    loaded = set(answer.stderr.split())
    assert "cli.commands.up" in loaded
    assert loaded.isdisjoint({"pydantic", "httpx2", "celery", "sqlalchemy", "fastapi", "redis", "asyncio"})
