"""What becomes of the hidden session of a one-off: its prompt goes when it ends, its answer with its job's record.

Of a line of a batch nothing stays: what it was answered stands with the line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import sqlalchemy as sa

from domain.ids import is_hidden
from domain.jobs import Job
from domain.messages import Message
from storage.sql import queue, reading
from storage.sql.prepared import Prepared
from storage.sql.rows import dumps
from storage.sql.schema import message, session
from storage.sql.transactions import Tx

_delete_messages = Prepared(
    message.delete().where(
        message.c.tenant == sa.bindparam("of_tenant"), message.c.session_id.in_(sa.bindparam("ids", expanding=True))
    )
)
_delete_sessions = Prepared(
    session.delete().where(
        session.c.tenant == sa.bindparam("of_tenant"), session.c.id.in_(sa.bindparam("ids", expanding=True))
    )
)
_empty = (
    message.update()
    .where(
        message.c.tenant == sa.bindparam("of_tenant"),
        message.c.session_id == sa.bindparam("of_session"),
        message.c.incarnation == sa.bindparam("of_incarnation"),
        message.c.seq == sa.bindparam("of_seq"),
        message.c.role == 0,
    )
    .values(parts="[]", detail=sa.bindparam("left"))
)

_KEPT = ("agent", "model", "given")
"""Of a prompt's detail: names, by which a repeat is known."""


def leaves_nothing(job: Job) -> bool:
    """Tell whether nothing of a job that has ended stays but its record."""
    return job.line is not None and not job.state.is_open and is_hidden(job.session_id)


def settle(tx: Tx, jobs: Iterable[Job]) -> None:
    """Remove what is to go of one-offs, those among jobs that have just ended."""
    ended = [job for job in jobs if not job.state.is_open and is_hidden(job.session_id)]
    remove(tx, [(job.tenant, job.session_id) for job in ended if leaves_nothing(job)])
    for job in ended:
        if not leaves_nothing(job):
            prompt = reading.find_prompt(tx, job)
            if prompt is not None:
                _take_content(tx, prompt)


def remove(tx: Tx, names: Collection[tuple[str, str]]) -> None:
    """Remove hidden sessions, by (tenant, ID), with their messages."""
    for tenant, ids in queue.by_tenant(names):
        _delete_messages.run(tx, {"of_tenant": tenant, "ids": ids})
        _delete_sessions.run(tx, {"of_tenant": tenant, "ids": ids})


def _take_content(tx: Tx, prompt: Message) -> None:
    left = {name: prompt.detail[name] for name in _KEPT if name in prompt.detail}
    scope = {
        "of_tenant": prompt.tenant,
        "of_session": prompt.session_id,
        "of_incarnation": prompt.incarnation,
        "of_seq": prompt.seq,
    }
    tx.execute(_empty, {**scope, "left": dumps(left)})
