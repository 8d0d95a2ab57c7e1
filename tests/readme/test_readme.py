"""What the README tells a reader to type works as it stands, in the order that it stands there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import running
from cli.running import Running
from tests.support.commands import Command, clean_environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

BLOCKS = _BLOCK.findall(README)
#: What a reader types, each with the output that the README shows under it (or none). The first is the two commands.
EXAMPLES = [
    (text, BLOCKS[number + 1][1] if BLOCKS[number + 1][0] == "text" and "HTTP/" in BLOCKS[number + 1][1] else None)
    for number, (kind, text) in enumerate(BLOCKS)
    if kind == "sh" and number
]

pytestmark = pytest.mark.xdist_group("up")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("readme")
    environment = clean_environment(DATA_DIR=str(directory / "data"))
    arguments = ("-m", "cli.main", "up", "--port", "0", "--no-flower")
    with Command(*arguments, output=directory / "output", environment=environment) as command:
        command.says("Ctrl-C stops everything.", timeout=60)
        found = running.find(directory / "data")
        assert found is not None
        yield found


def test_the_readme_opens_with_the_two_commands() -> None:
    kind, text = BLOCKS[0]
    assert kind == "sh"
    assert [line.split("#")[0].strip() for line in text.splitlines()] == ["./run demo", "./run test"]


def test_every_example_of_the_readme_works(up: Running) -> None:
    if shutil.which("curl") is None:
        assert not os.environ.get("CI"), "CI needs curl for the README's examples"
        pytest.skip("curl is not installed")
    assert len(EXAMPLES) >= 5
    # What was typed before is there for the next example, so they run as one reader's visit.
    for typed, shown in EXAMPLES:
        ran = _type(typed, up)
        assert ran.returncode == 0, f"{typed}\n{ran.stdout}\n{ran.stderr}"
        if shown is not None:
            wanted = r"[\s\S]*?".join(re.escape(line).replace("…", ".*") for line in shown.splitlines())
            assert re.search(wanted, ran.stdout), f"{typed}\nprinted\n{ran.stdout}\nwhere the README shows\n{shown}"


def test_an_example_repeated_runs_nothing_twice(up: Running) -> None:
    first = next(typed for typed, _ in EXAMPLES if "msg_readme_1" in typed)
    answers = {_type(first, up).stdout for _ in range(3)}
    assert len(answers) == 1
    assert "Hello there" in answers.pop()


def test_every_page_that_the_readme_names_is_there() -> None:
    names = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []


def _type(typed: str, up: Running) -> subprocess.CompletedProcess[str]:
    """Type an example, with the address of this server and this checkout's command, and curl strict about statuses."""
    text = typed.replace("http://127.0.0.1:4096", up.url).replace("./run ", f"{sys.executable} -m cli.main ")
    script = 'set -e\ncurl() { command curl --fail-with-body "$@"; }\n' + text
    environment = {**clean_environment(URL=up.url), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["sh", "-c", script],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
