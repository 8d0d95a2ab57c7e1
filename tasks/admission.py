"""The Celery task `promptq.admit`: takes what `POST /session/{id}/prompt_async` takes, for programs that speak Celery.

Whoever reaches the broker is trusted, and names the tenant. The task keeps the prompt and ends; the prompt then is a
job like any other.

It acknowledges late, unlike everything else here: a message is gone only when its prompt is kept. So a message may come
twice (a worker was killed, Redis was restarted), which makes no second job: a prompt that names itself by nothing is
named by its task. Why nothing else acknowledges late, and why it is safe here: docs/decisions/0007, and
`tasks.settling_step`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Annotated, Any

import msgspec
from celery import Task
from celery.exceptions import Reject
from celery.worker.request import Request
from pydantic import Field

from domain.errors import BacklogFull, InvalidRequest, PromptqError, StoreUnavailable
from domain.ids import is_ephemeral
from domain.keys import DEFAULT_TENANT, TENANT_PATTERN
from domain.models import Catalog
from domain.prompts import Admission
from domain.requests.fields import Body, Directory, Given, SessionId, WorkspaceId
from domain.requests.parsing import parse
from domain.requests.prompts import PromptRequest, Terms
from domain.settings import Settings
from executors.base import ENTRY_POINTS
from storage.base import Store

log = logging.getLogger(__name__)

TASK = "promptq.admit"

LONGEST_PAUSE_S = 5.0
"""How long a message that cannot be kept now is held before it goes back to its queue."""


class Address(Body):
    """What a message says beside the prompt's body."""

    session_id: SessionId
    tenant: Annotated[str, Field(pattern=f"^{TENANT_PATTERN}$")] = DEFAULT_TENANT
    idempotency_key: Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,255}$")]
    directory: Directory = "/"
    workspace: Given[WorkspaceId] = None


class AdmissionBroke(PromptqError):
    """Nobody expected what happened. Its words are left out: they may repeat the prompt's."""


def terms_of(settings: Settings) -> Terms:
    """Return what prompts may ask for: the same as at an API with these settings."""
    return Terms(Catalog({point.name for point in entry_points(group=ENTRY_POINTS)}), echo_faults=settings.echo_faults)


class Admissions:
    """What the task works with, in a worker."""

    def __init__(self, store: Store, terms: Terms, told: Callable[[Admission], None]) -> None:
        """Make it; `told` is called with each admission that is committed."""
        self._store = store
        self._terms = terms
        self._told = told
        #: Set when the worker ends: nobody waits any more.
        self.closing = threading.Event()

    def admit(self, address: dict[str, Any], body: object) -> Admission:
        """Keep a prompt, or recognise it.

        Raises:
            InvalidRequest: something about it is wrong; the message names the field, and repeats no content.
            PromptqError: as `Store.admit`.
        """
        to = parse(Address, msgspec.json.encode(address))
        if is_ephemeral(to.session_id):
            raise InvalidRequest(
                "session_id: an ephemeral session's prompts must not be in a broker's messages; post them to the API",
                field="session_id",
            )
        wanted = parse(PromptRequest, msgspec.json.encode(body)).prompt(
            to.session_id,
            self._terms,
            idempotency_key=to.idempotency_key,
            directory=to.directory or "/",
            workspace=to.workspace,
        )
        admission = self._store.admit(to.tenant, to.session_id, wanted)
        self._told(admission)
        return admission


class AdmitRequest(Request):
    """A message of the task, in a worker. What is shown of it (Flower, inspection, logs) has no arguments."""

    argsrepr = "()"
    kwargsrepr = "{}"

    def info(self, safe: bool = False) -> dict[str, Any]:  # noqa: ARG002 - Celery's
        """Describe it without its arguments."""
        return {**super().info(safe=True), "args": [], "kwargs": {}}

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.humaninfo()}>"


class Admit(Task):
    """Keeps one prompt."""

    name = TASK
    Request = AdmitRequest
    acks_late = True
    ignore_result = True
    throws = (PromptqError,)

    def run(self, session_id: str, body: dict[str, Any], **address: Any) -> str | None:
        """Keep a prompt to be answered; creates the session if it is missing.

        Args:
            session_id: the session's ID, `ses_…`.
            body: as that of `POST /session/{id}/prompt_async`.
            address: `tenant` (else `default`), `idempotency_key` (names the prompt where no `messageID` does; else
                the task's own ID does), `directory` and `workspace` of a session that this prompt makes.

        Returns:
            The job's ID, or None for a prompt with `noReply`.

        Raises:
            InvalidRequest: something about it is wrong. It fails the task.
            Conflict: it contradicts what is kept. It fails the task.
            Reject: the database is away, or the tenant's backlog is full: the message goes back to its queue.
        """
        admissions: Admissions = self.app.admissions
        named = {"idempotency_key": f"task:{self.request.id}", **address, "session_id": session_id}
        if admissions.closing.is_set():
            raise Reject("closing", requeue=True)
        try:
            return admissions.admit(named, body).message.job_id
        except (StoreUnavailable, BacklogFull) as error:
            log.warning("admission_put_off", extra={"task": self.request.id, "error": type(error).__name__})
            admissions.closing.wait(min(error.retry_after_s, LONGEST_PAUSE_S))
            raise Reject(type(error).__name__, requeue=True) from None
        except PromptqError:
            raise
        except Exception as error:
            if admissions.closing.is_set():  # the store is closed before the last tasks are
                raise Reject("closing", requeue=True) from None
            log.exception("admission_broke")
            raise AdmissionBroke(f"the prompt was not kept: {type(error).__name__}") from None
