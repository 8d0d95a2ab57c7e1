"""What a worker's process ends with: what restarts it goes by that."""

import subprocess
from pathlib import Path

from cli import roles
from domain.settings import Settings


def test_a_worker_that_cannot_use_the_database_ends_with_a_failure(tmp_path: Path) -> None:
    (tmp_path / "promptq.db").touch()
    role = roles.worker(Settings(data_dir=tmp_path), {}, name="unmigrated")
    ended = subprocess.run(
        role.command, env=role.environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "run 'promptq migrate'" in ended.stderr
    assert ended.returncode == 1
