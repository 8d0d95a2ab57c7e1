"""Puts many prompts into a database at once: one is admitted (and answered) by the store, then its rows are multiplied.

So the rows are what promptq writes, and a million of them take seconds. What is multiplied in one transaction appears
at one moment, as if everybody had posted together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import sqlalchemy as sa

from benchmarks.ground import Place
from domain.jobs import AttemptEnd, Finished, Job, Outcome
from domain.prompts import Prompt
from domain.sameness import content_hash
from domain.sessions import PRIORITIES
from storage.sql.opening import transactions
from storage.sql.rows import dumps
from storage.sql.schema import job, message, session
from storage.sql.transactions import Tx

TENANT = "default"
TEXT = "The quick brown fox jumps over the lazy dog."

PORTION = 50_000
"""Rows of one transaction, where they need not appear together."""

_SERIES = {
    "sqlite": "WITH RECURSIVE series(i) AS (SELECT :start UNION ALL SELECT i + 1 FROM series WHERE i + 1 < :stop)",
    "postgres": "WITH series AS (SELECT i FROM generate_series(CAST(:start AS bigint), :stop - 1) AS numbers(i))",
}
#: An ID that sorts by time, as promptq makes them.
_ID = {
    "sqlite": "'{prefix}_' || printf('%012x', :stamp + 4096 * series.i) || :tail",
    "postgres": "'{prefix}_' || lpad(to_hex(CAST(:stamp AS bigint) + 4096 * series.i), 12, '0') || :tail",
}
_SESSION_ID = ":name || CAST(series.i % :sessions AS text)"
_SEQ = "series.i / :sessions + 1"
_REMOVE = [
    sa.text("DELETE FROM message WHERE session_id = :template_session"),
    sa.text("DELETE FROM job WHERE session_id = :template_session"),
    sa.text("DELETE FROM session WHERE id = :template_session"),
]
_LATER_MS = 86_400_000


@dataclass(frozen=True)
class Crowd:
    """Prompts that are alike: as many in each session, all open or all answered."""

    jobs: int
    sessions: int
    #: Told apart by it: the sessions are called `ses_NAME_0` and so on.
    name: str
    answered: bool = False
    text: str = TEXT
    echo: Mapping[str, Any] | None = None


def a_prompt(text: str = TEXT, echo: Mapping[str, Any] | None = None, **fields: Any) -> Prompt:
    """A prompt of one text part, for the store."""
    detail = {"metadata": {"echo": dict(echo)}} if echo else None
    parts = [{"id": "prt_1", "type": "text", "text": text}]
    return Prompt(parts=parts, content_hash=content_hash({"text": text}), detail=detail, **fields)


def fill(place: Place, crowd: Crowd, *, together: bool = False) -> int:
    """Put a crowd into a database. Nothing else may be queued there.

    Args:
        place: the database.
        crowd: what to put in; its jobs are a multiple of its sessions.
        together: in one transaction; else in portions.

    Returns:
        The moment just before the last commit, in epoch milliseconds.
    """
    if crowd.jobs % crowd.sessions:
        raise ValueError("each session is to have as many prompts")
    template = _template(place, crowd)
    multiply = _multiplication(place.kind, crowd, template)
    portion = crowd.jobs if together else PORTION
    access = transactions(place.settings())
    before_commit = 0
    try:
        for start in range(0, crowd.jobs, portion):
            stop = min(start + portion, crowd.jobs)
            before_commit = access.write("fill", partial(multiply, start, stop))
    finally:
        access.close()
    return before_commit


def settle(place: Place) -> None:
    """Bring a database that was filled to rest, so that its own cleaning does not fall into a measurement."""
    engine = sa.create_engine(place.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        if place.kind == "postgres":
            connection.exec_driver_sql("VACUUM ANALYZE")
            connection.exec_driver_sql("CHECKPOINT")
        else:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()


def _template(place: Place, crowd: Crowd) -> Job:
    """Have the store write one prompt of the crowd: answered, or one that no worker takes for now."""
    later = None if crowd.answered else int(time.time() * 1000) + _LATER_MS
    prompt = a_prompt(crowd.text, crowd.echo, not_before=later)
    job = place.store.admit(TENANT, f"ses_{crowd.name}_template", prompt).job
    if job is None:
        raise AssertionError("a prompt that wants an answer has a job")
    if crowd.answered:
        (claimed,) = place.store.exchange("nobody", (), slots=1, lease_ms=60_000).claimed
        place.store.exchange("nobody", [ended(claimed.job)], slots=0, lease_ms=60_000)
    return job


def ended(job: Job) -> Finished:
    """The end of an attempt that succeeded, as a worker tells it."""
    end = AttemptEnd(Outcome.SUCCEEDED, parts=[{"id": "prt_2", "type": "text", "text": TEXT}])
    return Finished(TENANT, job.session_id, job.incarnation, job.id, job.attempt, end)


def _multiplication(kind: str, crowd: Crowd, template: Job) -> Callable[[int, int, Tx], int]:
    each = crowd.jobs // crowd.sessions
    open_each = 0 if crowd.answered else each
    values = {
        # IDs from before the template's, a millisecond apart, that end as it does: no two crowds share one.
        "stamp": int(template.id[4:16], 16) - crowd.jobs * 4096,
        "tail": template.id[16:],
        "name": f"ses_{crowd.name}_",
        "sessions": crowd.sessions,
        "template_session": template.session_id,
        "open": dumps([open_each if priority == template.priority else 0 for priority in range(PRIORITIES)]),
        "each": each,
        "rank": template.priority,
        "back": crowd.jobs,
    }
    copies = [_sessions(kind), _messages(kind), _jobs(kind, answered=crowd.answered)]

    def multiply(start: int, stop: int, tx: Tx) -> int:
        """Make the copies from `start` to before `stop`; with the last of them the template goes."""
        for statement in copies:
            tx.execute(statement, {**values, "start": start, "stop": stop})
        if stop == crowd.jobs:
            for statement in _REMOVE:
                tx.execute(statement, values)
        return int(time.time() * 1000)

    return multiply


def _sessions(kind: str) -> sa.TextClause:
    changed = {"id": _SESSION_ID, "seq": ":each", "open": ":open"}
    return _copies(kind, session, changed, "source.id = :template_session AND series.i < :sessions")


def _messages(kind: str) -> sa.TextClause:
    names = {"id": f"CASE source.role WHEN 0 THEN {_id(kind, 'msg')} ELSE {_id(kind, 'msg', 'a')} END"}
    changed = {**names, "session_id": _SESSION_ID, "seq": _SEQ, "job_id": _id(kind, "job")}
    return _copies(kind, message, changed, "source.session_id = :template_session")


def _jobs(kind: str, *, answered: bool) -> sa.TextClause:
    changed = {
        "id": _id(kind, "job"),
        "session_id": _SESSION_ID,
        "seq": _SEQ,
        "message_id": _id(kind, "msg"),
        "created": "source.created - :back + series.i",
    }
    if answered:
        changed |= {"assistant_id": _id(kind, "msg", "a"), "ended": "source.ended - :back + series.i"}
    else:
        head = "CASE WHEN series.i < :sessions THEN {} ELSE {} END"
        changed |= {
            "ready_at": head.format("source.created - :back + series.i", "NULL"),
            "rank": head.format(":rank", "0"),
            "not_before": "NULL",
        }
    return _copies(kind, job, changed, "source.session_id = :template_session")


def _id(kind: str, prefix: str, mark: str = "") -> str:
    return "(" + _ID[kind].format(prefix=prefix) + (f" || '{mark}'" if mark else "") + ")"


def _copies(kind: str, table: sa.Table, changed: Mapping[str, str], where: str) -> sa.TextClause:
    names = [f'"{column.name}"' for column in table.c]
    values = [changed.get(column.name, f'source."{column.name}"') for column in table.c]
    return sa.text(
        f'INSERT INTO "{table.name}" ({", ".join(names)}) {_SERIES[kind]}'
        f' SELECT {", ".join(values)} FROM series CROSS JOIN "{table.name}" AS source WHERE {where}'
    )
