"""`./run`, the lock, and what CI reads from the README."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "run"
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["./run", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What set-up needs, in a directory without .venv and .tools."""
    for name in ("run", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_run_is_a_script_for_any_posix_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    subprocess.run([shell, "-n", RUN], check=True)


def test_run_alone_lists_the_verbs() -> None:
    answer = run(PATH=os.environ["PATH"])
    assert answer.returncode == 0
    of_its_own = ("test", "check", "clients", "format", "bench", "faults", "setup", "lock")
    for verb in ("run", "prompt", "job", "session", "up", "status", "key", "demo", *of_its_own):
        assert re.search(rf"^  {verb}\b", answer.stdout, re.MULTILINE)


@pytest.mark.parametrize("verb", ["test", "check", "clients", "format", "setup", "lock"])
def test_each_verb_of_the_scripts_own_says_what_it_does(verb: str) -> None:
    for option in ("--help", "-h"):
        assert run(verb, option, PATH=os.environ["PATH"]).stdout.startswith(f"usage: ./run {verb}")


def test_run_hands_other_verbs_to_the_promptq_command() -> None:
    answer = run("--help", PATH=os.environ["PATH"])
    assert answer.returncode == 0, answer.stderr
    assert "Usage: ./run [OPTIONS] COMMAND" in answer.stdout.replace(str(RUN), "./run")


def test_run_takes_the_commands_name_before_its_verb() -> None:
    assert run("promptq", "session", "id", "a", "b=c").stdout == run("session", "id", "a", "b=c").stdout != ""


def test_run_without_a_python_says_so_in_a_sentence(clone: Path) -> None:
    tools = clone / "path"
    tools.mkdir()
    for name in ("sh", "cat", "cksum", "mkdir", "rm", "sed", "head"):
        (tools / name).symlink_to(str(shutil.which(name)))
    answer = run("setup", cwd=clone, PATH=str(tools))
    assert answer.returncode == 1
    assert answer.stderr.startswith("run: Python 3.11 or newer is needed")
    assert answer.stderr.count("\n") == 1


def test_run_without_a_network_says_so_in_a_sentence(clone: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    python = Path(sys.base_prefix) / "bin"
    answer = run(
        "setup",
        cwd=clone,
        PATH=f"{python}:/usr/bin:/bin",
        PROMPTQ_PYTHON=str(python / "python3"),
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL=nowhere,
        PIP_RETRIES="0",
        UV_OFFLINE="1",
        UV_CACHE_DIR=str(clone / "cache"),
    )
    assert answer.returncode == 1
    assert "is there a network?" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_the_lock_names_no_host() -> None:
    assert not re.search(r"://|\b[\w-]+\.(org|com|io|net|dev)\b", LOCK)


def test_every_line_of_the_lock_is_checked_by_hash() -> None:
    pinned = re.findall(r"^[a-z0-9._-]+==.*?(?=^\S|\Z)", LOCK, re.MULTILINE | re.DOTALL)
    assert len(pinned) > 50
    assert [entry for entry in pinned if "--hash=sha256:" not in entry] == []


def test_the_lock_agrees_with_the_project() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    locked = {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^ ;]+)", LOCK, re.MULTILINE)
    }
    wanted = [
        Requirement(text)
        for text in (
            *PROJECT["project"]["dependencies"],
            *PROJECT["dependency-groups"]["dev"],
            *PROJECT["build-system"]["requires"],
        )
    ]
    assert [
        str(each) for each in wanted if not each.specifier.contains(locked.get(canonicalize_name(each.name), "0"))
    ] == []


def test_the_readme_begins_with_the_demo_and_the_tests() -> None:
    first_block = (ROOT / "README.md").read_text().split("```")[1]
    commands = [line.split("#")[0].strip() for line in first_block.splitlines()[1:] if line.strip()]
    assert "./run demo" in commands
    assert "./run test" in commands


def test_ci_runs_the_check_and_the_readmes_test_command() -> None:
    script = (ROOT / ".ci/run").read_text()
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)
    assert "\n./run check\n" in script
    assert "README.md" in script
