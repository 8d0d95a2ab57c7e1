"""What SQLite does when its disk is full or its file read-only: nothing is half kept, everybody is told, it mends."""

import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import PromptqError, StoreUnavailable
from storage.sql import open_store
from storage.sql.sqlite import SqliteTransactions
from storage.sql.store import SqlStore
from storage.sql.transactions import Tx
from tests.storage.actors import admit
from tests.support.commands import clean_environment
from tests.support.keepers import migrated, settings_of
from tests.support.waiting import eventually


@pytest.fixture
def url(tmp_path: Path) -> str:
    return migrated(f"sqlite:///{tmp_path / 'promptq.db'}")


def test_a_full_disk_refuses_prompts_loses_none_and_takes_them_again_once_there_is_room(
    url: str, tmp_path: Path
) -> None:
    # RLIMIT_FSIZE stands in for the full disk: beyond it every write fails. It is of the process, so it gets its own.
    script = textwrap.dedent("""
        import resource, signal, sys
        from domain.errors import StoreUnavailable
        from storage.sql import open_store
        from tests.storage.actors import admit
        from tests.support.keepers import settings_of

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = open_store(settings_of(sys.argv[1]))
        kept, refused = [], 0
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        for number in range(200):
            try:
                kept.append(admit(store, f"ses_{number}", "x" * 5000).message.id)
            except StoreUnavailable as error:
                refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        kept.append(admit(store, "ses_after", "there is room").message.id)
        store.close()
        print(refused, *kept)
    """)
    ran = subprocess.run(
        [sys.executable, "-c", script, url],
        env=clean_environment(),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    refused, *kept = ran.stdout.split()
    assert int(refused) > 0
    assert 1 < len(kept) < 201
    file = sqlite3.connect(tmp_path / "promptq.db")
    assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    there = {row[0] for row in file.execute("SELECT id FROM message")}
    file.close()
    assert there == set(kept)


def test_a_read_only_database_says_so(url: str, tmp_path: Path) -> None:
    store = open_store(settings_of(f"sqlite:///file:{tmp_path / 'promptq.db'}?mode=ro&uri=true"))
    with pytest.raises(StoreUnavailable, match="readonly"):
        admit(store)
    store.close()


def test_what_waits_together_is_kept_together_and_one_that_fails_does_not_spoil_the_rest(url: str) -> None:
    transactions = SqliteTransactions(url)
    store = SqlStore(transactions)
    started, go = threading.Event(), threading.Event()

    def hold_up(_tx: object) -> None:
        started.set()
        assert go.wait(10)

    def fail(_tx: object) -> None:
        message = "on purpose"
        raise KeyError(message)

    outcomes: dict[str, object] = {}

    def run(name: str, work: object) -> None:
        try:
            outcomes[name] = (
                transactions.write(name, work) if callable(work) else admit(store, f"ses_{name}").message.id
            )
        except KeyError as error:
            outcomes[name] = error

    first = threading.Thread(target=run, args=("first", hold_up))
    first.start()
    assert started.wait(10)
    rest = [threading.Thread(target=run, args=(f"n{number}", None)) for number in range(20)]
    rest.append(threading.Thread(target=run, args=("bad", fail)))
    for thread in rest:
        thread.start()
    go.set()
    for thread in [first, *rest]:
        thread.join()
    assert isinstance(outcomes["bad"], KeyError)
    assert {store.session("default", f"ses_n{number}").seq for number in range(20)} == {1}
    store.close()


def test_what_a_neighbour_did_that_was_not_kept_refuses_nobody(url: str) -> None:
    transactions = SqliteTransactions(url)
    store = SqlStore(transactions)
    admit(store)
    started, go = threading.Event(), threading.Event()
    outcomes: dict[str, object] = {}

    def hold_up(_tx: object) -> None:
        started.set()
        assert go.wait(10)

    def break_off(_tx: object) -> None:
        message = "the disk is gone"
        raise StoreUnavailable(message)

    def run(name: str, call: Callable[[], object]) -> None:
        try:
            outcomes[name] = call()
        except PromptqError as error:
            outcomes[name] = error

    calls: dict[str, Callable[[], object]] = {
        "first": lambda: transactions.write("test", hold_up),
        "one": lambda: admit(store, "ses_b", "one", message_id="msg_1"),
        "two": lambda: admit(store, "ses_b", "two", message_id="msg_1"),
        "broken": lambda: transactions.write("test", break_off),
    }
    threads = []
    for number, (name, call) in enumerate(calls.items()):
        threads.append(threading.Thread(target=run, args=(name, call)))
        threads[-1].start()
        assert started.wait(10)
        eventually(lambda: len(transactions._waiting) == number)  # noqa: B023 - called at once
    go.set()
    for thread in threads:
        thread.join()
    assert {name: type(outcomes[name]) for name in ("one", "two")} == {"one": StoreUnavailable, "two": StoreUnavailable}
    assert admit(store, "ses_b", "two", message_id="msg_1").session_created
    store.close()


def test_work_that_breaks_its_transaction_leaves_a_store_that_works(url: str) -> None:
    transactions = SqliteTransactions(url)
    store = SqlStore(transactions)

    def undo_everything(tx: Tx) -> None:
        tx.connection.exec_driver_sql("ROLLBACK")
        message = "on purpose"
        raise KeyError(message)

    with pytest.raises(StoreUnavailable, match="no such savepoint"):
        transactions.write("test", undo_everything)
    assert admit(store).session_created
    store.close()


def test_a_closed_store_takes_no_more_work(url: str) -> None:
    store = open_store(settings_of(url))
    admit(store)
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        admit(store)
