"""What the API's own document allows and forbids, sent by a program that knows nothing else of it.

Schemathesis makes requests from the document, right ones and wrong ones, and holds each answer to it: no 500, no
status, type, header or shape that the document does not tell of, and nothing accepted that it forbids. Always the same
requests: a failure here is no chance.
"""

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, CheckFunction, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance, response_schema_conformance

from api.main import create_app
from domain.jobs import State
from domain.settings import Settings
from storage.base import JobQuery, Store
from storage.opening import open_stores
from tests.api.conftest import a_prompt, listening
from tests.api.tenants import Operation, operations
from tests.support.valkey import ValkeyServer

EXAMPLES = 10
"""Of each kind, for each operation."""

SESSIONS = ("ses_a", "ses_tmp_a")

DOCUMENT = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text("utf-8"))
"""The committed document. Another test holds it to the served one."""

UNTOLD: list[CheckFunction] = [positive_data_acceptance]
"""What is right by the document can still be refused: of cursors, of data: URLs, and of fields that go only with others
it cannot say all."""

UNTOLD_OF_STREAMS: list[CheckFunction] = [*UNTOLD, response_schema_conformance]
"""It describes a stream as a whole, which Schemathesis takes for the description of an event."""


class Ender:
    """Is the bell, and a thread that ends every prompt by cancelling it: whoever waits for an answer gets one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rung = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def ring(self) -> None:
        self._rung.set()

    def close(self) -> None:
        self._closed = True
        self._rung.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._rung.wait()
            self._rung.clear()
            for ephemeral in (False, True):
                query = JobQuery(limit=1000, states=frozenset({State.QUEUED}), ephemeral=ephemeral)
                for job in self._store.jobs("default", query):
                    self._store.abort_session(job.tenant, job.session_id)


@dataclass
class House:
    """A server, and the IDs of what is in it."""

    url: str
    schema: Any

    def settle(self) -> list[dict[str, str]]:
        """Have a session of each kind; return what the parameters of paths can be."""
        with httpx2.Client(base_url=self.url) as client:
            return [self._settled(client, name) for name in SESSIONS]

    def _settled(self, client: httpx2.Client, name: str) -> dict[str, str]:
        said = {**a_prompt(), "messageID": "msg_a"}
        answer = client.post(f"/session/{name}/message", json=said)
        assert answer.is_success, answer.text
        return {"sessionID": name, "messageID": "msg_a", "jobID": answer.headers["location"].rpartition("/")[2]}


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, valkey_server: ValkeyServer
) -> Iterator[House]:
    """A server over both keepers."""
    path = tmp_path_factory.mktemp("schemathesis") / "promptq.db"
    shutil.copy(sqlite_template, path)
    valkey_server.start()
    given = {"database_url": f"sqlite:///{path}", "redis_url": valkey_server.url, "redis_prefix": "schemathesis:"}
    configured = Settings.model_validate(given)
    store = open_stores(configured)
    app = create_app(configured, store=lambda: store, bell=lambda: Ender(store))
    with listening(app) as port:
        schema = schemathesis.openapi.from_dict(DOCUMENT)
        schema.config.max_stream_events = 1
        yield House(f"http://127.0.0.1:{port}", schema)


@pytest.mark.parametrize("operation", operations(DOCUMENT), ids=lambda operation: operation.name)
def test_every_answer_is_as_the_document_says(operation: Operation, house: House) -> None:
    described = house.schema[operation.path][operation.method]
    untold = UNTOLD_OF_STREAMS if operation.is_stream else UNTOLD

    def hold(case: Case[Any]) -> None:
        case.call_and_validate(base_url=house.url, excluded_checks=untold)

    known = [{name: each[name] for name in operation.path_parameters} for each in house.settle()]
    for mode in GenerationMode:
        if mode is GenerationMode.NEGATIVE and not takes_anything(operation):
            continue
        kinds = [described.as_strategy(generation_mode=mode)]
        if operation.path_parameters:
            kinds += [described.as_strategy(generation_mode=mode, path_parameters=each) for each in known]
        bounded = settings(
            max_examples=EXAMPLES * len(kinds),
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        bounded(given(case=st.one_of(kinds))(hold))()


def takes_anything(operation: Operation) -> bool:
    return bool(operation.described.get("parameters") or "requestBody" in operation.described)
