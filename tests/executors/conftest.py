"""The executors that keep the contract, and how each is brought to do what the contract speaks of."""

from dataclasses import dataclass

import pytest

from domain.settings import Settings
from executors.base import Executor, Request
from executors.echo import EchoExecutor
from tests.executors.requests import request, text_part


@dataclass
class Subject:
    """An executor, and requests that make it behave in a certain way."""

    executor: Executor
    #: It answers with more than one piece of text.
    answering: Request
    #: It begins to answer and never ends.
    stalling: Request
    #: It fails, and a repeat may not.
    failing: Request
    #: It fails, and a repeat would too.
    failing_for_good: Request


def echo() -> Subject:
    said = text_part("four words to echo")
    return Subject(
        EchoExecutor(Settings(echo_faults=True)),
        request(said),
        request(said, metadata={"echo": {"stall": True}}),
        request(said, metadata={"echo": {"fail": "transient"}}),
        request(said, metadata={"echo": {"fail": "permanent"}}),
    )


@pytest.fixture(params=[echo])
def subject(request: pytest.FixtureRequest) -> Subject:
    made: Subject = request.param()
    return made
