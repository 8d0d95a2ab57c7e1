"""Contract item 7: another tenant's ID behaves exactly as an unused one, on every route."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.main import create_app
from domain.jobs import Outcome
from domain.settings import Settings
from storage.base import Store
from storage.opening import open_stores
from tests.api.conftest import Apis, Bell, a_prompt
from tests.api.following import Follower, House, a_house
from tests.api.tenants import MESSAGE, SECRET, SESSIONS, WAITS, Asked, Operation, Walk, World, operations
from tests.storage.actors import Worker
from tests.support.keys import bearer, keyed
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

CONFIGURATION, KEYS = keyed("one", "two")

READING, CHANGING, MAKING = ("GET",), ("PATCH", "DELETE", "PUT"), ("POST",)


@pytest.fixture
def worlds(
    tmp_path: Path, sqlite_template: Path, valkey: ValkeyServer
) -> Iterator[Callable[[str], tuple[World, Store]]]:
    """What makes an API over both keepers, empty."""
    clients: list[TestClient] = []

    def make(name: str) -> tuple[World, Store]:
        path = tmp_path / f"{name}.db"
        shutil.copy(sqlite_template, path)
        given = {"database_url": f"sqlite:///{path}", "redis_url": valkey.url, "redis_prefix": f"{name}:"}
        settings = Settings.model_validate(given)
        store = open_stores(settings)
        app = create_app(settings, store=lambda: store, bell=Bell, configuration=CONFIGURATION)
        client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        clients.append(client)
        client.__enter__()
        return World(client, KEYS), store

    yield make
    for client in clients:
        client.__exit__(None, None, None)


def settle(world: World, store: Store) -> tuple[list[str], list[str]]:
    """Let tenant one live in a world; return the IDs of its jobs and of its answers."""
    worker = Worker(store)

    def post(path: str, body: dict[str, Any], **headers: str) -> None:
        answer = world.ask("one", Asked("POST", path, body, headers))
        assert answer.is_success, answer.text

    for name in SESSIONS:
        post("/session", {"id": name, "title": SECRET})
        post(f"/session/{name}/prompt_async", a_prompt(SECRET, messageID=MESSAGE))
        worker.run()
        post(f"/session/{name}/prompt_async", a_prompt(f"{SECRET} fails"))
        worker.run(Outcome.FAILED)
        post(f"/session/{name}/message", {**a_prompt(SECRET), "noReply": True}, **{"Idempotency-Key": "key-x"})
        post(f"/session/{name}/prompt_async", a_prompt(SECRET))
        post(f"/session/{name}/prompt_async", a_prompt(SECRET))
    post("/session", {"id": "ses_child", "parentID": "ses_x", "title": SECRET})
    post("/session/ses_x/fork", {"id": "ses_forked"})
    jobs = [job["id"] for query in ("", "?ephemeral=true") for job in listed(world, f"/job{query}")]
    messages = [message["info"]["id"] for name in SESSIONS for message in listed(world, f"/session/{name}/message")]
    assert len(jobs) == 8
    return jobs, messages


def listed(world: World, path: str) -> Any:
    return world.ask("one", Asked("GET", path)).json()


def walk_of(world: World, jobs: list[str], messages: list[str]) -> Walk:
    pages = [world.ask("one", Asked("GET", f"{path}?limit=1")) for path in ("/session", "/job")]
    cursors = [page.headers["x-next-cursor"] for page in pages]
    document = world.ask("one", Asked("GET", "/doc")).json()
    return Walk(operations(document, world.client.app.routes), jobs=jobs, messages=messages, cursors=cursors)  # type: ignore[attr-defined]


def test_for_a_tenant_the_world_is_as_if_the_others_were_not(
    worlds: Callable[[str], tuple[World, Store]],
) -> None:
    shared, store = worlds("shared")
    alone, _ = worlds("alone")
    jobs, messages = settle(shared, store)
    walk = walk_of(shared, jobs, messages)
    reads = list(walk.requests(*READING))
    seen_by_one = [shared.ask("one", asked).text for asked in reads]
    told: dict[int, int] = {}
    # What one has is asked for before two makes the same, and after.
    steps = [(kinds, "") for kinds in (READING, CHANGING, MAKING, READING, MAKING, READING, CHANGING, MAKING, READING)]
    for kinds, under in [*steps, *((kinds, "/ephemeral") for kinds in (CHANGING, READING, MAKING, READING))]:
        for asked in walk.requests(*kinds, under=under):
            answer = shared.ask("two", asked)
            assert SECRET not in answer.text
            as_if_alone = alone.plain(asked, alone.ask("two", asked))
            assert shared.plain(asked, answer) == as_if_alone, asked
            told[answer.status_code] = told.get(answer.status_code, 0) + 1
    assert {200, 204, 400, 403, 404, 409} <= set(told), told  # 403: what is the operator's
    assert 500 not in told
    assert [shared.ask("one", asked).text for asked in reads] == seen_by_one


def test_the_same_walk_shows_tenant_one_what_is_its_own(worlds: Callable[[str], tuple[World, Store]]) -> None:
    """Lest the walk above should only ever ask for what nobody has."""
    world, store = worlds("shared")
    walk = walk_of(world, *settle(world, store))
    found = {
        asked.path.partition("?")[0] for asked in walk.requests(*READING) if SECRET in world.ask("one", asked).text
    }
    assert {"/session", "/job"} - found == {"/job"}  # jobs have no content
    for name in SESSIONS:
        assert {f"/session/{name}", f"/session/{name}/message", f"/session/{name}/message/{MESSAGE}"} <= found
    assert all(world.ask("one", asked).is_success for asked in walk.requests(*READING) if "/job/" in asked.path)


def test_no_route_is_open_to_whom_the_others_are_closed(memory_apis: Apis) -> None:
    api = memory_apis.start(configuration=CONFIGURATION)
    document = api.get("/doc", headers=bearer(KEYS["one"])).json()
    for operation in operations(document):
        answer = api.client.request(
            operation.method, operation.path.format(sessionID="ses_x", jobID="job_1", messageID="msg_1")
        )
        if operation.path == "/healthz":
            assert answer.json() == {"status": "ok", "version": document["info"]["version"]}
        else:
            assert answer.status_code == 401, operation.name


def test_what_is_of_all_tenants_takes_the_password(memory_apis: Apis) -> None:
    api = memory_apis.start(configuration=CONFIGURATION, password="sesame")
    document = api.get("/doc", headers=bearer("sesame")).json()
    of_all = [
        operation.path for operation in operations(document) if "operations" in operation.described.get("tags", ())
    ]
    assert "/metrics" in of_all
    for path in of_all:
        assert api.get(path, headers=bearer("sesame")).status_code == 200
        refused = api.get(path, headers=bearer(KEYS["one"]))
        assert refused.status_code == 403
        assert refused.json()["name"] == "ForbiddenError"


def test_a_full_backlog_is_full_for_its_tenant_alone(apis: Apis) -> None:
    api = apis.start(configuration=CONFIGURATION, backlog=2)
    for number, status in enumerate((204, 204, 429)):
        answer = api.post(f"/session/ses_{number}/prompt_async", a_prompt(), headers=bearer(KEYS["one"]))
        assert answer.status_code == status
    for number, status in enumerate((204, 204, 429)):
        answer = api.post(f"/session/ses_{number}/prompt_async", a_prompt(), headers=bearer(KEYS["two"]))
        assert answer.status_code == status


@pytest.fixture
def house(valkey: ValkeyServer) -> Iterator[House]:
    """A whole promptq, in which both tenants have a session of the same name."""
    with a_house(valkey.url, configuration=CONFIGURATION) as made:
        made.engine()
        for tenant in KEYS:
            post(made, tenant, "/session/ses_x/message", a_prompt("so that every stream begins"))
        yield made


def post(house: House, tenant: str, path: str, body: Any) -> None:
    answer = house.client.post(path, json=body, headers=bearer(KEYS[tenant]))
    assert answer.is_success, answer.text
    for engine in house.engines:
        engine.look()


def streams(house: House) -> list[str]:
    """The paths of all streams that the API describes."""
    return [each.path.format(sessionID="ses_x") for each in endless(house) if each.name not in WAITS]


def endless(house: House) -> list[Operation]:
    """All operations that do not answer at once."""
    document = house.client.get("/doc", headers=bearer(KEYS["two"])).json()
    found = [each for each in operations(document, house.served.app.routes) if each.is_stream or each.name in WAITS]
    assert len(found) >= 5
    return found


def tells(follower: Follower, text: str) -> bool:
    """Whether a stream has told of a text."""
    return text in json.dumps(follower.events)


def test_no_stream_tells_a_tenant_of_another(house: House) -> None:
    paths = streams(house)
    hears = {tenant: [house.follow(path, **bearer(key)) for path in paths] for tenant, key in KEYS.items()}
    # What one has done is told before what two does, and the other way round.
    for number, tenant in enumerate(("one", "two", "one")):
        said = f"of-{tenant} {number}"
        post(house, tenant, "/session/ses_x/prompt_async", a_prompt(said))
        for follower in hears[tenant]:
            eventually(partial(tells, follower, said), what=f"{follower.path} tells {said}")
    for tenant, other in (("one", "two"), ("two", "one")):
        assert not [each.path for each in hears[tenant] if tells(each, f"of-{other}")]


def test_a_place_in_anothers_stream_leads_to_nothing_of_it(house: House) -> None:
    for path in streams(house):
        theirs = house.follow(path, **bearer(KEYS["one"]))
        post(house, "one", "/session/ses_x/prompt_async", a_prompt("of-one"))
        eventually(partial(tells, theirs, "of-one"))
        for place in (theirs.names[0], theirs.names[-1]):
            ours = house.follow(path, **bearer(KEYS["two"]), **{"Last-Event-ID": place or "1"})
            post(house, "two", "/session/ses_x/prompt_async", a_prompt("of-two"))
            eventually(partial(tells, ours, "of-two"))
            assert not tells(ours, "of-one")


def test_what_waits_for_anothers_session_is_as_what_waits_for_none(house: House) -> None:
    post(house, "one", "/session", {"id": "ses_one"})
    waiting = [operation for operation in endless(house) if "sessionID" in operation.path_parameters]
    assert len(waiting) >= 3
    for operation in waiting:
        for name in ("ses_one", "ses_unused"):
            path = operation.path.format(sessionID=name)
            answer = house.client.request(operation.method, path, headers=bearer(KEYS["two"]))
            assert answer.status_code == 404, path
            assert f"Session not found: {name}" in answer.text
