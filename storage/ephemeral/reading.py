"""What is asked of ephemeral sessions without changing them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from domain.creation import committed_turns
from domain.errors import MessageNotFound, SessionNotFound
from domain.ids import is_hidden
from domain.jobs import Job
from domain.messages import Message, Turn
from domain.sessions import Session
from storage.base import Branch, JobQuery, SessionQuery
from storage.documents import job_of, message_of, session_of
from storage.ephemeral.exchange import where
from storage.ephemeral.keys import named
from storage.ephemeral.snapshots import Snapshots

PAGE = 500


def find_session(snapshots: Snapshots, tenant: str, session_id: str) -> Session | None:
    """Find a session."""
    document = snapshots.client.hget(snapshots.keys.session(tenant, session_id), "session")
    return session_of(document) if document else None


def load_session(snapshots: Snapshots, tenant: str, session_id: str) -> Session:
    """Load a session.

    Raises:
        SessionNotFound: there is none.
    """
    found = find_session(snapshots, tenant, session_id)
    if found is None:
        raise SessionNotFound(session_id)
    return found


def sessions(snapshots: Snapshots, tenant: str, query: SessionQuery) -> list[Session]:
    """List sessions. See `Store.sessions`. What the index names and is gone is taken off it."""
    found: list[Session] = []
    listed = snapshots.keys.sessions_of(tenant)
    start = 0
    while len(found) < query.limit:
        names = snapshots.client.zrevrange(listed, start, start + PAGE - 1)
        if not names:
            break
        with snapshots.client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.hget(snapshots.keys.session(tenant, name.decode()), "session")
            documents = pipeline.execute()
        gone = [name for name, document in zip(names, documents, strict=True) if document is None]
        if gone:
            snapshots.client.zrem(listed, *gone)
        found += [each for each in map(session_of, filter(None, documents)) if _matches(each, query)]
        start += len(names) - len(gone)
    return found[: query.limit]


def _matches(session: Session, query: SessionQuery) -> bool:
    return (
        not is_hidden(session.id)
        and (query.after is None or (session.updated, session.id) < query.after)
        and (query.since is None or session.updated >= query.since)
        and (not query.search or query.search.lower() in session.title.lower())
        and (query.parent_id is None or session.parent_id == query.parent_id)
        and (not query.roots or session.parent_id is None)
    )


def busy_sessions(snapshots: Snapshots, tenant: str) -> dict[str, Job]:
    """Load the head of each session that has open jobs, by session ID."""
    members = snapshots.client.zrange(snapshots.keys.open_of(tenant), 0, -1)
    names = {(tenant, named(member.decode())[1]): () for member in members}
    if not names:
        return {}
    heads = {}
    for (_, session_id), snapshot in snapshots.load_all(dict(names)).items():
        head_id = snapshot.head_id()
        head = snapshot.job(head_id) if head_id is not None else None
        if head is not None and not is_hidden(session_id):
            heads[session_id] = head
    return heads


def find_message(snapshots: Snapshots, of: Session, message_id: str) -> Message | None:
    """Find a message by its ID."""
    key = snapshots.keys.session(of.tenant, of.id)
    place = snapshots.client.hget(key, f"n:{message_id}")
    document = snapshots.client.hget(key, place) if place else None
    return message_of(document) if document else None


def message_at(snapshots: Snapshots, tenant: str, session_id: str, seq: int, role: int) -> Message | None:
    """Find a message by its place."""
    document = snapshots.client.hget(snapshots.keys.session(tenant, session_id), f"m:{seq}:{role}")
    return message_of(document) if document else None


def message_by_id(snapshots: Snapshots, tenant: str, session_id: str, message_id: str) -> Message:
    """Load a message. See `Store.message`."""
    found = find_message(snapshots, load_session(snapshots, tenant, session_id), message_id)
    if found is None:
        raise MessageNotFound(message_id)
    return found


def messages_of(snapshots: Snapshots, of: Session, *, below: int | None = None) -> list[Message]:
    """Load a session's messages in order, or those before a sequence number."""
    last = of.seq + 1 if below is None else below
    return _range(snapshots, of.tenant, of.id, 1, last)


def _range(snapshots: Snapshots, tenant: str, session_id: str, first: int, end: int) -> list[Message]:
    found: list[Message] = []
    key = snapshots.keys.session(tenant, session_id)
    for start in range(first, end, PAGE):
        places = [f"m:{seq}:{role}" for seq in range(start, min(start + PAGE, end)) for role in (0, 1)]
        found += map(message_of, filter(None, snapshots.client.hmget(key, places)))
    return found


def messages(
    snapshots: Snapshots, tenant: str, session_id: str, *, limit: int | None, before: tuple[int, str] | None
) -> list[Message]:
    """List messages. See `Store.messages`."""
    of = load_session(snapshots, tenant, session_id)
    end = of.seq + 1
    if before is not None:
        end = min(end, before[0] + (1 if before[1] == "assistant" else 0))
    if limit is None:
        found = _range(snapshots, tenant, session_id, 1, end)
    else:
        found = []
        # Two messages a turn at most, one at least, unless a turn is still open: a few more turns than messages.
        while end > 1 and len(found) < limit + 2:
            start = max(1, end - limit - 2)
            found = _range(snapshots, tenant, session_id, start, end) + found
            end = start
    if before is not None:
        found = [each for each in found if _is_before(each, before)]
    return found if limit is None else found[len(found) - min(limit, len(found)) :]


def _is_before(message: Message, before: tuple[int, str]) -> bool:
    seq, role = before
    return message.seq < seq or (message.seq == seq and role == "assistant" and message.role == "user")


def history(snapshots: Snapshots, of: Job) -> list[Turn]:
    """Load the committed turns before a job."""
    session = find_session(snapshots, of.tenant, of.session_id)
    if session is None or session.incarnation != of.incarnation:
        return []
    return committed_turns(messages_of(snapshots, session, below=of.seq))


def branch(snapshots: Snapshots, tenant: str, source_id: str, before: str | None) -> Branch:
    """Load what a fork begins with. See `Store.branch`."""
    source = load_session(snapshots, tenant, source_id)
    until = None
    if before is not None:
        until = find_message(snapshots, source, before)
        if until is None:
            raise MessageNotFound(before)
    # An answer's own turn is left out with it: a prompt without its answer is not a committed turn.
    turns = committed_turns(messages_of(snapshots, source, below=until.seq if until is not None else None))
    return Branch(source, turns)


def jobs_by_id(snapshots: Snapshots, names: Collection[tuple[str, str]]) -> dict[str, Job]:
    """Load jobs by (tenant, ID)."""
    places = where(snapshots, names)
    if not places:
        return {}
    with snapshots.client.pipeline(transaction=False) as pipeline:
        for (_, job_id), place in places.items():
            pipeline.hget(snapshots.keys.session(*place), f"j:{job_id}")
        documents = pipeline.execute()
    found = (job_of(document) for document in documents if document)
    return {job.id: job for job in found}


def jobs(snapshots: Snapshots, tenant: str, query: JobQuery) -> list[Job]:
    """List jobs. See `Store.jobs`."""
    if query.session_id is not None:
        found = _jobs_of(snapshots, tenant, [query.session_id])
    else:
        names = snapshots.client.zrange(snapshots.keys.sessions_of(tenant), 0, -1)
        found = _jobs_of(snapshots, tenant, [name.decode() for name in names])
    matching = [
        job
        for job in found
        if (query.after is None or (job.created, job.id) < query.after)
        and (not query.states or job.state in query.states)
        and (query.batch_id is None or job.batch_id == query.batch_id)
    ]
    matching.sort(key=lambda job: (job.created, job.id), reverse=True)
    return matching[: query.limit]


def _jobs_of(snapshots: Snapshots, tenant: str, session_ids: Sequence[str]) -> list[Job]:
    found: list[Job] = []
    for session_id in session_ids:
        fields = snapshots.client.hscan_iter(snapshots.keys.session(tenant, session_id), match="j:*", count=PAGE)
        found += (job_of(document) for _, document in fields)
    return found
