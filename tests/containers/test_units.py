"""The systemd units of `examples/`: what they start exists, and has the time to stop that it needs."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.supervisor import up
from domain.settings import Settings
from tests.containers.files import ROOT
from tests.support.commands import clean_environment

UNITS = sorted((ROOT / "examples/systemd").iterdir())
BY_NAME = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)


def value(unit: Path, key: str) -> str:
    (found,) = re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)
    return str(found)


def test_there_is_a_unit_for_one_machine_and_one_for_workers() -> None:
    assert [unit.name for unit in UNITS] == ["promptq-worker@.service", "promptq.service"]


@BY_NAME
def test_what_it_starts_exists(unit: Path) -> None:
    _, verb, *options = value(unit, "ExecStart").split()
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", verb, "--help"],
        cwd=ROOT,
        env=clean_environment(COLUMNS="200"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(option in ran.stdout for option in options if option.startswith("--"))


@BY_NAME
def test_its_settings_exist(unit: Path) -> None:
    named = set(re.findall(r"PROMPTQ_[A-Z_]+[A-Z]", unit.read_text()))
    assert named <= {f"PROMPTQ_{name.upper()}" for name in Settings.model_fields}


@BY_NAME
def test_it_waits_longer_than_a_worker_may_take(unit: Path) -> None:
    grace = float(re.findall(r"PROMPTQ_GRACE=(\d+)", value(unit, "Environment"))[0])
    assert float(value(unit, "TimeoutStopSec")) >= grace + 2 * up._MARGIN_S


@BY_NAME
def test_systemd_has_nothing_to_say_against_it(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not on this machine: the unit was not verified")
    # Where promptq is installed is not here: any program that exists will do.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/promptq/bin/promptq", sys.executable))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False, timeout=60
    )
    said = [line for line in ran.stderr.splitlines() if unit.name.partition(".")[0].rstrip("@") in line]
    assert (ran.returncode, said) == (0, []), ran.stderr
