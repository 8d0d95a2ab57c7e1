"""Two tenants of one API, and a walk through all that it serves."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import BaseRoute, Route
from starlette.testclient import TestClient

from tests.api.conftest import a_prompt
from tests.support.keys import bearer

Json = dict[str, Any]

SESSIONS = ("ses_x", "ses_tmp_x")
MESSAGE = "msg_x"
SECRET = "of-one-alone"
"""A word that only tenant one says."""

STREAM = "text/event-stream"

UNTOLD_STREAMS = frozenset({"GET /api/session/{sessionID}/event"})
"""Streams that the document is silent of."""

WAITS = frozenset({"POST /api/session/{sessionID}/wait"})
"""What answers only when a session is idle."""

_MADE = re.compile(r"(?:ses|ses_tmp|msg|prt|job|job_tmp|evt)_[0-9a-f]{12}[0-9A-Za-z]{14}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?")
_TOLD = ("content-type", "promptq-session", "location", "retry-after", "allow")


@dataclass(frozen=True)
class Operation:
    """One method of one path of the document."""

    method: str
    path: str
    described: Json = field(hash=False)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def path_parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    @property
    def is_stream(self) -> bool:
        if self.name in UNTOLD_STREAMS:
            return True
        return STREAM in self.described.get("responses", {}).get("200", {}).get("content", {})


def operations(document: Json, routes: Iterable[BaseRoute] = ()) -> list[Operation]:
    """All that a document describes, and what these routes serve besides."""
    described = [
        Operation(method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    names = {operation.name for operation in described}
    served = [
        Operation(method, route.path_format, {})
        for route in routes
        if isinstance(route, Route)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
    return described + [operation for operation in served if operation.name not in names]


@dataclass(frozen=True)
class Asked:
    """A request, but for who makes it."""

    method: str
    path: str
    body: Json | None = None
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body or ''}"


@dataclass
class World:
    """One API, seen by its tenants."""

    client: TestClient
    keys: dict[str, str]
    #: The IDs that this world has made, in the order in which they were seen.
    _names: dict[str, str] = field(default_factory=dict)

    def ask(self, tenant: str, asked: Asked) -> Any:
        headers = {**bearer(self.keys[tenant]), **asked.headers}
        return self.client.request(asked.method, asked.path, json=asked.body, headers=headers)

    def plain(self, asked: Asked, answer: Any) -> Json:
        """What an answer says, without what chance and the clock have a part in."""
        headers = {name: answer.headers[name] for name in _TOLD if name in answer.headers}
        more = {"goes_on": "x-next-cursor" in answer.headers, "status": answer.status_code}
        body = answer.json() if answer.content else None
        plain = self._plain({**headers, **more, "body": body}, kept=set(_MADE.findall(str(asked))))
        assert isinstance(plain, dict)
        return plain

    def _plain(self, value: Any, kept: set[str]) -> Any:
        match value:
            case {"next": str()}:
                return {**value, "next": "CURSOR"}
            case dict():
                return {name: self._plain(inner, kept) for name, inner in value.items()}
            case list():
                return [self._plain(inner, kept) for inner in value]
            case str():
                text = _MOMENT.sub("MOMENT", value)
                return _MADE.sub(lambda found: found[0] if found[0] in kept else self._name(found[0]), text)
            case int() if value > 10**12:
                return "MILLIS"
            case _:
                return value

    def _name(self, made: str) -> str:
        return self._names.setdefault(made, f"{made.partition('_')[0]} {len(self._names)}")


class Walk:
    """Requests to all of an API's operations, with the names that tenant one uses."""

    def __init__(
        self, all_of_them: list[Operation], *, jobs: Sequence[str], messages: Sequence[str], cursors: Sequence[str]
    ) -> None:
        self._operations = all_of_them
        self._values = {"sessionID": [*SESSIONS], "messageID": [MESSAGE, *messages], "jobID": [*jobs]}
        lists = ["", "?ephemeral=true", *(f"?cursor={cursor}" for cursor in cursors)]
        self._queries = {
            "GET /session": [*lists, f"?search={SECRET}", "?roots=true", "?limit=1"],
            "GET /job": [*lists, "?sessionID=ses_x", "?sessionID=ses_tmp_x", "?state=queued,failed", "?limit=1"],
            "GET /session/{sessionID}/message": ["", "?limit=1"],
            "GET /job/{jobID}/wait": ["?timeout=0"],
            "GET /api/session": ["", f"?search={SECRET}", "?limit=1"],
            "GET /api/session/{sessionID}/message": ["", "?limit=1"],
            "GET /api/session/{sessionID}/history": ["", "?limit=1"],
        }
        said = a_prompt("of two", messageID=MESSAGE)
        keyed = {**a_prompt("of two"), "noReply": True}
        self._bodies: dict[str, list[Json]] = {
            "POST /session": [{"id": name, "title": "of two"} for name in SESSIONS]
            + [{"id": "ses_y", "parentID": "ses_x"}, {"id": "ses_y", "ifExists": "error"}, {"parentID": "ses_child"}],
            "PATCH /session/{sessionID}": [{"title": "two's"}],
            "POST /session/{sessionID}/prompt_async": [
                {**a_prompt("continue"), "ifMissing": "fail"},
                {**said, "whenBusy": "reject"},
                said,
                a_prompt("otherwise", messageID=MESSAGE),
            ],
            "POST /session/{sessionID}/message": [keyed, {**keyed, "ifMissing": "fail"}],
            "POST /api/session": [{"id": name} for name in (*SESSIONS, "ses_z")],
            "POST /api/session/{sessionID}/agent": [{"agent": "plan"}],
            "POST /api/session/{sessionID}/model": [{"model": {"providerID": "echo", "id": "echo"}}],
            "POST /api/session/{sessionID}/prompt": [
                {"prompt": {"text": "of two"}, "id": "msg_newer"},
                {"prompt": {"text": "otherwise"}, "id": "msg_newer"},
            ],
            "POST /session/{sessionID}/fork": [{"id": "ses_forked"}, {"id": "ses_forked", "messageID": MESSAGE}],
        }

    def requests(self, *methods: str, under: str = "") -> Iterator[Asked]:
        """Those with one of these methods. A route that is not known here fails the test: it must be told of above.

        Args:
            methods: of the operations.
            under: stands before all paths.
        """
        for operation in self._operations:
            if operation.method not in methods or operation.is_stream or operation.name in WAITS:
                continue
            unknown = set(operation.path_parameters) - set(self._values)
            assert not (unknown and operation.described), f"{operation.name}: which {unknown} has tenant one?"
            assert "requestBody" not in operation.described or operation.name in self._bodies, operation.name
            bodies: list[Json | None] = [*self._bodies.get(operation.name, [None])]
            # What the document is silent of is there for the asking only: it names nothing of a tenant's but these.
            places = [self._values.get(name, ["x"]) for name in operation.path_parameters]
            for values in itertools.product(*places):
                path = operation.path.format(**dict(zip(operation.path_parameters, values, strict=True)))
                for query, body in itertools.product(self._queries.get(operation.name, [""]), bodies):
                    headers = {"Idempotency-Key": "key-x"} if body and body.get("noReply") else {}
                    yield Asked(operation.method, under + path + query, body, headers)
