"""How sessions come to be: created, or planted from turns of another."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.dialects import sqlite

from domain import creation as creating
from domain.errors import InvalidRequest
from domain.sessions import Creation, Session
from storage.base import Branch
from storage.sql import queue
from storage.sql.prepared import Prepared
from storage.sql.prepared_rows import Inserts
from storage.sql.rows import session_row
from storage.sql.schema import session
from storage.sql.transactions import Tx

_insert_if_free = Prepared(sqlite.insert(session).on_conflict_do_nothing(), session.c.keys())
_insert = Inserts(session)
_insert_those_free = Inserts(session, otherwise="ON CONFLICT DO NOTHING RETURNING tenant, id")


def create_session(tx: Tx, tenant: str, creation: Creation) -> tuple[Session, bool]:
    """Create a session or return the one that is there. See `Store.create_session`."""
    while True:
        found = queue.find_session(tx, tenant, creation.session_id, lock=True)
        if found is not None:
            break
        _check_parent(tx, tenant, creation)
        made = creating.new_session(tenant, creation, tx.now())
        if insert_if_free(tx, [made]):
            return made, True
    repeated = creating.repeat(found, creation)
    if repeated is not found:
        _check_parent(tx, tenant, creation)
        queue.save_session(tx, repeated)
    return repeated, False


def plant(tx: Tx, tenant: str, creation: Creation, branch: Branch) -> tuple[Session, bool]:
    """Create a session from turns of another, or return the one that is there. See `Store.plant`."""
    change = creating.fork(tenant, branch.source, creation, branch.turns, tx.now())
    if insert_if_free(tx, [change.session]):
        queue.insert_messages(tx, change.messages)
        return change.session, True
    there = queue.load_session(tx, tenant, creation.session_id, lock=True)
    return creating.repeat_fork(there, creation), False


def insert(tx: Tx, values: Sequence[Session]) -> None:
    """Insert sessions whose names nobody else can have."""
    _insert.run(tx, [session_row(value) for value in values])


def insert_if_free(tx: Tx, values: Sequence[Session]) -> set[tuple[str, str]]:
    """Insert those of some sessions whose names are free, in the order of their names; return these (tenant, ID).

    Safe against others that create or delete them at once: who creates one now is waited for.
    """
    ordered = sorted(values, key=lambda value: (value.tenant, value.id))
    if tx.is_sqlite:
        return {(value.tenant, value.id) for value in ordered if _insert_if_free.run(tx, session_row(value))}
    return {(tenant, name) for tenant, name in _insert_those_free.all(tx, [session_row(value) for value in ordered])}


def _check_parent(tx: Tx, tenant: str, creation: Creation) -> None:
    parent_id = creation.parent_id
    if parent_id is not None and queue.find_session(tx, tenant, parent_id, lock=False) is None:
        message = f"parentID names no session: {parent_id}"
        raise InvalidRequest(message, field="parentID")
