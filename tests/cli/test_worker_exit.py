"""What a worker's process ends with: what restarts it goes by that."""

import subprocess
from pathlib import Path

import pytest

from cli import roles
from domain.settings import Settings


@pytest.mark.parametrize("there", [True, False])
def test_a_worker_that_cannot_use_the_database_ends_with_a_failure(there: bool, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    if there:
        directory.mkdir()
        (directory / "promptq.db").touch()
    role = roles.worker(Settings(data_dir=directory), {}, name="unmigrated")
    ended = subprocess.run(
        role.command, env=role.environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "run 'promptq migrate'" in ended.stderr
    assert ended.returncode == 1
    assert directory.exists() is there
