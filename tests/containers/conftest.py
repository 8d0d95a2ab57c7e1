from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.image import BuiltImage
from tests.containers.stack import Stack


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    """The image's packages, installed by the Dockerfile's commands. Takes a quarter of a minute, and a network."""
    built = BuiltImage(tmp_path_factory.mktemp("image"))
    built.build()
    return built


@pytest.fixture(scope="module")
def stack(image: BuiltImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All services of the Compose file, started by hand in the order that it asks for."""
    directory: Path = tmp_path_factory.mktemp("stack")
    with Stack(image, directory) as started:
        started.start()
        yield started
