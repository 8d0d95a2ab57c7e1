import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.image import BuiltImage
from tests.containers.stack import Stack


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    """The image's packages, installed by the Dockerfile's commands: once a run, by the worker that first needs it.

    Takes a quarter of a minute, and a network.
    """
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    directory, done = run / "image", run / "image.built"
    built = BuiltImage(directory)
    with (run / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            built.build()
            done.touch()
    return built


@pytest.fixture(scope="module")
def stack(image: BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services of the Compose file, started by hand in the order that it asks for."""
    directory: Path = tmp_path_factory.mktemp("stack")
    with Stack(image, directory) as started:
        started.start()
        yield started
