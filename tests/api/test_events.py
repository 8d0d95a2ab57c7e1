"""Events as clients see them: OpenCode's, in OpenCode's order."""

from collections.abc import Iterator

import pytest

from tests.api.following import House, a_house
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually
from tests.tasks.scripted import Gate


@pytest.fixture
def house(valkey: ValkeyServer) -> Iterator[House]:
    with a_house(valkey.url) as made:
        yield made


def test_a_prompt_is_told_in_the_order_that_opencode_tells_it(house: House) -> None:
    house.client.post("/session", json={"id": "ses_a"})
    follower = house.follow()
    house.engine()
    gate = house.scripts["wait"] = Gate()
    house.prompt("wait")
    follower.sees("message.part.delta")
    gate.open()
    follower.sees("session.idle")
    eventually(lambda: follower.types[-1] == "session.updated")
    assert follower.types == [
        "server.connected",
        "session.updated",
        "message.updated",
        "message.part.updated",
        "session.status",
        "session.status",
        "message.updated",
        "message.part.updated",
        "message.part.updated",
        "message.part.delta",
        "message.part.delta",
        "message.part.updated",
        "message.part.updated",
        "message.updated",
        "session.status",
        "session.idle",
        "session.updated",
    ]
