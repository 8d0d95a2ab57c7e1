"""OpenCode's SDKs, unmodified: JavaScript, by both of its entries, and Python."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from opencode_ai import APIStatusError, Opencode

from tests.clients.conftest import PASSWORD, Server
from tests.clients.installation import Installation

SCRIPTS = Path(__file__).parent / "sdk"


@pytest.fixture(scope="module")
def place(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the scripts find the packages."""
    directory = tmp_path_factory.mktemp("sdk")
    shutil.copytree(SCRIPTS, directory, dirs_exist_ok=True)
    (directory / "node_modules").symlink_to(installation.root / "node_modules")
    return directory


@pytest.mark.parametrize("entry", ["v1", "v2"])
def test_the_javascript_sdk_finds_all_as_it_expects(
    server: Server, installation: Installation, place: Path, entry: str
) -> None:
    """The script itself says what; see there."""
    command = [str(installation.node), str(place / f"{entry}.mjs"), server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def python(server: Server) -> Iterator[Opencode]:
    with Opencode(base_url=server.url, max_retries=0) as client:
        yield client


def test_the_python_sdk_makes_prompts_and_reads_sessions(python: Opencode) -> None:
    session = python.session.create(extra_body={"id": "ses_python", "title": "From Python"})
    assert (session.id, session.title) == ("ses_python", "From Python")
    answer = python.session.chat(
        "ses_python",
        model_id="echo",
        provider_id="echo",
        parts=[{"type": "text", "text": "hello"}],
    )
    assert answer is not None
    messages = python.session.messages("ses_python")
    assert [message.info.role for message in messages] == ["user", "assistant"]
    assert [part.text for message in messages for part in message.parts if part.type == "text"] == ["hello", "hello"]
    assert "ses_python" in [each.id for each in python.session.list()]
    assert python.session.abort("ses_python") is True
    assert python.session.delete("ses_python") is True


def test_the_python_sdk_is_told_what_there_is(python: Opencode) -> None:
    assert python.app.providers().default == {"echo": "echo"}
    assert python.config.get().model == "echo/echo"
    assert python.find.files(query="x") == []


def test_the_python_sdk_reads_events(python: Opencode) -> None:
    with python.event.list() as stream:
        first = next(iter(stream))
        assert first.type == "server.connected"


def test_the_python_sdk_raises_what_is_refused(python: Opencode) -> None:
    with pytest.raises(APIStatusError) as caught:
        python.session.share("ses_python")
    assert caught.value.status_code == 501


def test_the_python_sdk_comes_in_with_the_password(guarded: Server) -> None:
    headers = {"Authorization": f"Bearer {PASSWORD}"}
    with Opencode(base_url=guarded.url, default_headers=headers, max_retries=0) as client:
        assert isinstance(client.session.list(), list)
