"""Every statement of a prompt's way finds its rows by an index, however many rows there are.

The plans are asked for as the databases make them in earnest: SQLite's for the statement as it is sent, Postgres's for
bound values that it does not know (the generic plan of a prepared statement).
"""

import re
import sqlite3
from collections.abc import Iterator
from typing import Any, ClassVar, Self

import psycopg
import pytest
import sqlalchemy as sa

from domain.jobs import Outcome, State
from storage.base import JobQuery, SessionQuery
from storage.sql.store import SqlStore
from tests.storage.actors import Worker, admit, admit_job, create, held
from tests.support.keepers import Keeper


class Sent:
    """The statements that the store sends while it listens, each with parameters that it was sent with."""

    def __init__(self) -> None:
        self.statements: dict[str, Any] = {}

    def note(self, sql: str, parameters: Any) -> None:
        if sql.startswith(("UPDATE", "DELETE")) or (
            sql.startswith(("SELECT", "WITH")) and " FROM " in sql.replace("\n", " ")
        ):
            self.statements.setdefault(sql, parameters)


class SqliteCursor(sqlite3.Cursor):
    """A cursor that notes what it is given."""

    sent: ClassVar[Sent]

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        self.sent.note(sql, parameters)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, rows: Any, /) -> Self:
        self.sent.note(sql, rows[0])
        return super().executemany(sql, rows)


class SqliteConnection(sqlite3.Connection):
    """A connection of such cursors."""

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or SqliteCursor)


class PostgresCursor(psycopg.Cursor[Any]):
    """A cursor that notes what it is given."""

    sent: ClassVar[Sent]

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        self.sent.note(query, params)
        return super().execute(query, params, **options)

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        self.sent.note(query, params_seq[0])
        super().executemany(query, params_seq, **options)


def _noting(dialect: sa.Dialect, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
    if dialect.name == "sqlite":
        parameters["factory"] = SqliteConnection
    else:
        parameters["cursor_factory"] = PostgresCursor


@pytest.fixture
def sent() -> Iterator[Sent]:
    listener = Sent()
    SqliteCursor.sent = PostgresCursor.sent = listener
    sa.event.listen(sa.Engine, "do_connect", _noting)
    yield listener
    sa.event.remove(sa.Engine, "do_connect", _noting)


def live_a_little(store: SqlStore) -> None:
    """Do all that is done often."""
    worker = Worker(store)
    create(store)
    for name in ("ses_a", "ses_b"):
        for _ in range(3):
            admit(store, name, message_id=None, idempotency_key=None)
    admit(store, "ses_a", message_id="msg_1", priority=9)
    admit(store, "ses_a", "other", idempotency_key="k", expires_at=1)
    claimed = worker.claim(2)
    store.renew(worker.name, held(*(each.job for each in claimed)), lease_ms=1000)
    store.look(worker.name, held(*(each.job for each in claimed)))
    store.census()
    store.holders()
    store.end_leases("another")
    for each in claimed:
        store.history(each.job)
        worker.finish(each.job)
    store.cancel_job("default", admit_job(store, "ses_c").id)
    failed = admit_job(store, "ses_d")
    worker.finish(next(each.job for each in worker.claim() if each.job.id == failed.id), Outcome.FAILED)
    store.retry_job("default", failed.id)
    store.reconcile(limit=10)
    store.prune(older_than_ms=0, limit=1)
    store.jobs_by_id([("default", failed.id)])
    store.messages("default", "ses_a", limit=2)
    store.messages("default", "ses_a", limit=2, before=(3, "user"))
    store.message("default", "ses_a", "msg_1")
    store.answer("default", "ses_a", claimed[0].job.incarnation, 1)
    store.sessions("default", SessionQuery(after=(2**60, "ses_a")))
    store.sessions("default", SessionQuery(parent_id="ses_a"))
    store.jobs("default", JobQuery(after=(2**60, "job_a")))
    store.jobs("default", JobQuery(session_id="ses_a"))
    store.jobs("default", JobQuery(states=[State.FAILED]))
    store.jobs("default", JobQuery(states=[State.QUEUED, State.RUNNING]))
    store.busy_sessions("default")
    store.abort_session("default", "ses_a")
    store.delete_session("default", "ses_a")


@pytest.mark.parametrize("keeper", ["sqlite"], indirect=True)
def test_no_statement_on_sqlite_reads_a_whole_table(keeper: Keeper, sent: Sent, store: SqlStore) -> None:
    live_a_little(store)
    assert len(sent.statements) > 25, "the statements were seen"
    engine = sa.create_engine(keeper.url or "")
    scans = {}
    with engine.connect() as connection:
        for statement, parameters in sent.statements.items():
            plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            bad = [
                step
                for step in plan
                if re.match(
                    r"SCAN (job|message|session|next|head)\b(?! USING (COVERING )?INDEX job_(open|head|ready|running))",
                    step,
                )
            ]
            if bad:
                scans[statement] = plan
    engine.dispose()
    assert not scans


@pytest.mark.parametrize("keeper", ["sqlite"], indirect=True)
def test_the_next_head_on_sqlite_is_found_among_the_open_jobs_alone(
    sent: Sent, store: SqlStore, keeper: Keeper
) -> None:
    live_a_little(store)
    heads = next(statement for statement in sent.statements if "AS next" in statement)
    engine = sa.create_engine(keeper.url or "")
    with engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {heads}", sent.statements[heads])]
    engine.dispose()
    # From the session, not from all the open jobs of its tenant.
    assert plan[0].startswith("SEARCH session USING INDEX sqlite_autoindex_session_1"), plan
    assert any(step.startswith("SEARCH next USING") and "job_open" in step for step in plan), plan


@pytest.mark.parametrize("keeper", ["postgres"], indirect=True)
def test_no_statement_on_postgres_needs_a_whole_table(keeper: Keeper, sent: Sent, store: SqlStore) -> None:
    live_a_little(store)
    assert len(sent.statements) > 25, "the statements were seen"
    engine = sa.create_engine(keeper.url or "")
    scans = {}
    with engine.connect() as connection:
        # Over so few rows a sequential scan is cheapest; with this it is taken only where no index serves.
        connection.exec_driver_sql("SET enable_seqscan = off")
        for statement, parameters in sent.statements.items():
            numbered, names = _numbered(statement, parameters)
            connection.exec_driver_sql(f"PREPARE asked AS {numbered}")
            connection.exec_driver_sql("SET plan_cache_mode = force_generic_plan")
            values = ", ".join(_literal(parameters[name]) for name in names)
            asked = f"EXPLAIN EXECUTE asked{f'({values})' if names else ''}"
            plan = "\n".join(row[0] for row in connection.exec_driver_sql(asked.replace("%", "%%")))
            connection.exec_driver_sql("DEALLOCATE asked")
            if re.search(r"Seq Scan on (job|message|session)", plan):
                scans[statement] = plan
    engine.dispose()
    assert not scans


def _numbered(statement: str, parameters: Any) -> tuple[str, list[str]]:
    """Write psycopg's `%(name)s` as `$1`, `$2` and so on."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    return re.sub(r"%\((\w+)\)s", number, statement).replace("%%", "%"), names


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(map(_literal, value))}]"
    return str(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


@pytest.mark.parametrize("state", [State.FAILED, State.RUNNING])
@pytest.mark.parametrize("keeper", ["sqlite", "postgres"], indirect=True)
def test_a_list_of_what_is_open_or_went_wrong_is_not_sought_among_all_that_succeeded(
    keeper: Keeper, sent: Sent, store: SqlStore, state: State
) -> None:
    live_a_little(store)
    sent.statements.clear()
    store.jobs("default", JobQuery(states=[state]))
    ((statement, parameters),) = sent.statements.items()
    engine = sa.create_engine(keeper.url or "")
    with engine.connect() as connection:
        if keeper.kind == "postgres":
            connection.exec_driver_sql("SET enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN" if keeper.kind == "sqlite" else "EXPLAIN"
        plan = str(connection.exec_driver_sql(f"{explain} {statement}", parameters).all())
    engine.dispose()
    assert ("job_unsuccessful" if state is State.FAILED else "job_open") in plan or "job_running" in plan, plan
    assert "job_created" not in plan
