"""docs/operating.md: its backups are whole, its restores bring back what was kept, and what it names exists."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from domain.configuration import parse
from domain.errors import JobNotFound
from domain.settings import Settings
from storage.base import Store
from storage.sql import open_store
from storage.sql.migrate import upgrade
from tests.containers.files import ROOT
from tests.storage.actors import admit_job
from tests.support.commands import clean_environment
from tests.support.keys import tenant_of
from tests.support.postgres import PostgresServer
from tests.support.postgres_keeper import find_programs
from tests.support.waiting import eventually

PAGE = (ROOT / "docs/operating.md").read_text()


def commands(section: str) -> list[str]:
    """What a section of the page has a reader type."""
    text = PAGE.split(f"### {section}\n")[1].split("\n### ")[0]
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def type_in(text: str, directory: Path, **environment: str) -> str:
    """Type it, and return what is printed: `promptq` is this checkout's, containers' programs are this machine's."""
    shell = (
        f'promptq() {{ "{sys.executable}" -m cli.main "$@"; }}\n'
        'docker() { if [ "$2" = exec ]; then shift 4; command "$@"; fi; }\n'
        f"set -e\n{text}"
    )
    path = f"{Path(sys.executable).parent}:{find_programs()}:{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-c", shell],
        cwd=directory,
        env={**clean_environment(), "PYTHONPATH": str(ROOT), "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


class Submitting:
    """A context manager within which prompts are admitted without a pause; `kept` were answered 2xx."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._submit)
        self.kept: list[str] = []

    def _submit(self) -> None:
        while not self._stop.is_set():
            self.kept.append(admit_job(self._store, f"ses_{len(self.kept) % 7}", "a prompt " * 50).id)

    def __enter__(self) -> Self:
        self._thread.start()
        eventually(lambda: len(self.kept) > 20, what="prompts are kept")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def opened() -> Iterator[list[Store]]:
    """Stores to be closed at the end."""
    stores: list[Store] = []
    yield stores
    for store in stores:
        store.close()


def test_a_backup_of_a_working_sqlite_is_whole_and_is_restored(tmp_path: Path, opened: list[Store]) -> None:
    backup, restore = commands("SQLite")
    settings = Settings(data_dir=tmp_path / ".promptq")
    upgrade(settings)
    store = open_store(settings)
    with Submitting(store) as submitting:
        before = list(submitting.kept)
        type_in(backup, tmp_path)
    # No close: what a killed process leaves is a -wal that the restored file must not meet.
    opened.append(store)
    assert (tmp_path / ".promptq/promptq.db-wal").stat().st_size > 0
    assert (tmp_path / "backup.db").stat().st_mode & 0o077 == 0
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".promptq").mkdir(parents=True)
    for name in ("promptq.db", "promptq.db-wal", "promptq.db-shm"):
        (elsewhere / ".promptq" / name).write_bytes((tmp_path / ".promptq" / name).read_bytes())
    (tmp_path / "backup.db").rename(elsewhere / "backup.db")
    type_in(restore, elsewhere)
    restored = open_store(Settings(data_dir=elsewhere / ".promptq"))
    opened.append(restored)
    restored.ready()
    for job in before:
        assert restored.job("default", job).id == job
    with pytest.raises(JobNotFound):
        restored.job("default", submitting.kept[-1])


def test_a_dump_of_a_working_postgres_is_whole_and_is_restored(
    postgres_server: PostgresServer, tmp_path: Path, opened: list[Store]
) -> None:
    backup, restore = commands("Postgres")
    with postgres_server.admin() as admin:
        # As the image has them: a role that may do everything, and its database.
        admin.execute("CREATE ROLE promptq SUPERUSER LOGIN")
        admin.execute("CREATE DATABASE promptq OWNER promptq")
    url = re.sub(r"postgres@/\w+", "promptq@/promptq", postgres_server.url())
    host = url.partition("host=")[2]
    settings = Settings.model_validate({"database_url": url})
    upgrade(settings)
    store = open_store(settings)
    opened.append(store)
    with Submitting(store) as submitting:
        before = list(submitting.kept)
        type_in(backup, tmp_path, PGHOST=host)
    last = submitting.kept[-1]
    type_in(restore, tmp_path, PGHOST=host)
    restored = open_store(settings)
    opened.append(restored)
    restored.ready()
    for job in before:
        assert restored.job("default", job).id == job
    with pytest.raises(JobNotFound):
        restored.job("default", last)


def test_the_configuration_file_of_the_page_is_one_that_promptq_starts_with() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    configuration = parse(text.encode(), Path("promptq.toml"))
    ((name, key),) = configuration.keys.items()
    assert f"begins promptq_{name}_" in text
    assert key.tenant == "alice"


def test_a_key_that_is_made_as_the_page_says_opens_for_its_tenant(tmp_path: Path) -> None:
    (command,) = re.findall(r"^promptq key new .*$", PAGE, re.MULTILINE)
    key = type_in(command, tmp_path).strip()
    path = tmp_path / "promptq.toml"
    assert tenant_of(parse(path.read_bytes(), path).keyring(password=None), key) == "alice"


def test_every_event_that_an_operator_is_to_watch_for_is_logged_somewhere() -> None:
    table = PAGE.split("| event | means |")[1].split("\n\n")[0]
    named = re.findall(r"`(\w+)`", table)
    source = "".join(path.read_text() for part in ("api", "storage", "tasks") for path in (ROOT / part).rglob("*.py"))
    assert len(named) >= 5
    assert [name for name in named if f'"{name}"' not in source] == []


def test_every_setting_and_page_that_is_named_exists() -> None:
    known = {f"PROMPTQ_{name.upper()}" for name in Settings.model_fields} | {"PROMPTQ_KEY"}
    assert set(re.findall(r"PROMPTQ_[A-Z_]+[A-Z]", PAGE)) <= known
    pages = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert [page for page in pages if not (ROOT / "docs" / page).exists()] == []


def test_the_figures_of_the_page_are_the_codes() -> None:
    fields = Settings.model_fields
    assert f"`PROMPTQ_GRACE` seconds ({fields['grace'].default:g};" in PAGE
    assert f"(`PROMPTQ_LEASE`, {fields['lease'].default:g} s)" in PAGE
    assert f"`PROMPTQ_CONCURRENCY` ({fields['concurrency'].default})" in PAGE
    assert f"`PROMPTQ_RETENTION` days ({fields['retention'].default:g})" in PAGE
