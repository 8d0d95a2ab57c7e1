"""A batch as a caller asks for it: OpenAI's fields and promptq's own."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from domain.batches.batch import Batch, BatchRequest
from domain.batches.reading import ENDPOINTS, Defaults
from domain.clock import Millis, millis
from domain.errors import InvalidRequest
from domain.ids import check_batch_id, new_id
from domain.models import Catalog
from domain.requests.fields import Body, Given, Name, no_nul
from domain.requests.prompts import LONGEST_TIMEOUT_S, MOST_ATTEMPTS
from domain.sessions import PRIORITIES

MOST_METADATA = 16
LONGEST_WINDOW_MS: Millis = 30 * 86_400_000

_WINDOW = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def _batch_id(text: str) -> str:
    try:
        return check_batch_id(text, field="it")
    except InvalidRequest as error:
        raise PydanticCustomError("id", "{why}", {"why": str(error).removeprefix("it ")}) from None


def _window(text: str) -> str:
    if not 0 < window_ms(text) <= LONGEST_WINDOW_MS:
        raise PydanticCustomError("window", "must be 24h, or another number of s, m, h or d; at most 30d")
    return text


def window_ms(text: str) -> Millis:
    """Read a completion window, such as `24h`; 0 if it is none."""
    found = _WINDOW.fullmatch(text)
    return int(found[1]) * _UNITS_MS[found[2]] if found else 0


def _endpoint(text: str) -> str:
    if text not in ENDPOINTS:
        raise PydanticCustomError("endpoint", "must be one of {known}", {"known": ", ".join(ENDPOINTS)})
    return text


BatchId = Annotated[str, AfterValidator(_batch_id)]
Metadata = Annotated[
    dict[
        Annotated[str, Field(max_length=64), AfterValidator(no_nul)],
        Annotated[str, Field(max_length=512), AfterValidator(no_nul)],
    ],
    Field(max_length=MOST_METADATA),
]
Priority = Annotated[int, Field(ge=0, lt=PRIORITIES)]
InFlight = Annotated[int, Field(ge=1, le=1_000_000)]


class ExpiresAfter(Body):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3_600, le=2_592_000)]


class CreateBatch(Body):
    """What is to be run, and how. Fields after `output_expires_after` are promptq's own."""

    input_file_id: Name
    endpoint: Annotated[str, AfterValidator(_endpoint)]
    completion_window: Annotated[str, AfterValidator(_window)]
    metadata: Metadata | None = None
    output_expires_after: Given[ExpiresAfter] = None
    #: Names the batch: the same again, with the same file, is the same batch.
    id: Given[BatchId] = None
    #: The batch whose answers are taken over for lines that have not changed.
    base: Given[BatchId] = None
    #: `provider/model` of lines that name none.
    model: Given[Name] = None
    #: Whether one-offs that do not say it themselves are kept in Redis only.
    ephemeral: bool = False
    #: Whether lines that cannot be run go to the error file, and the others run.
    skip_invalid: bool = False
    priority: Priority = 5
    max_in_flight: Given[InFlight] = None
    max_attempts: Given[Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)]] = None
    #: Seconds, of one attempt.
    timeout: Given[Annotated[float, Field(ge=0.001, le=LONGEST_TIMEOUT_S)]] = None

    def batch(self, tenant: str, catalog: Catalog, *, name: str | None = None) -> Batch:
        """Make what a store keeps.

        Args:
            tenant: whose it is.
            catalog: the models that this server takes.
            name: its ID, if the body has none.

        Raises:
            InvalidRequest: the fields do not fit each other, or ask for what this server does not have.
        """
        batch_id = self.id or name or new_id("batch")
        if self.model is not None:
            catalog.check_name(self.model)
        if self.base == batch_id:
            raise InvalidRequest("base: is this batch itself", field="base")
        expires = self.output_expires_after
        request = BatchRequest(
            id=batch_id,
            input_file_id=self.input_file_id,
            endpoint=self.endpoint,
            completion_window=self.completion_window,
            window_ms=window_ms(self.completion_window),
            metadata=self.metadata,
            output_ttl_ms=None if expires is None else expires.seconds * 1000,
            defaults=Defaults(
                model=self.model,
                ephemeral=self.ephemeral,
                priority=self.priority,
                max_attempts=self.max_attempts,
                timeout_ms=None if self.timeout is None else millis(self.timeout),
            ),
            skip_invalid=self.skip_invalid,
            base=self.base,
            max_in_flight=self.max_in_flight,
        )
        return Batch(tenant, batch_id, request, "", "", 0, 0, priority=self.priority)


class ChangeBatch(Body):
    """What can be changed of a batch that is there."""

    priority: Priority
