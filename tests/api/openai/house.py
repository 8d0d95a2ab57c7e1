"""A server and what is behind it, as tests of OpenAI's API see it."""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi import FastAPI
from openai import OpenAI
from openai.types import Batch, FileObject

from domain.settings import Settings
from storage.base import Store
from storage.batches import Batches
from storage.sql.store import SqlStore
from tasks.engine.engine import Engine
from tests.domain.batches.lines import jsonl
from tests.support.waiting import eventually

ENDED = {"failed", "completed", "expired", "cancelled"}


@dataclass
class House:
    """One server."""

    url: str
    settings: Settings
    store: Store
    batches: Batches
    employ: Callable[[], Engine]
    app: FastAPI

    def client(self, key: str = "any") -> OpenAI:
        """OpenAI's client, as its users make it."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0)

    def limit_pages(self, pages: int) -> None:
        """Let the server's database have so many pages, as on a disk of that size."""
        durable = self.app.state.means.store.durable
        assert isinstance(durable, SqlStore)
        durable._transactions.write(
            "limit", lambda tx: tx.driver.execute(f"PRAGMA max_page_count = {pages}").fetchall()
        )

    def get(self, path: str, **more: Any) -> httpx2.Response:
        return httpx2.get(self.url + path, timeout=30, **more)

    def post(self, path: str, **more: Any) -> httpx2.Response:
        return httpx2.post(self.url + path, timeout=30, **more)


def upload(client: OpenAI, *lines: Any, name: str = "prompts.jsonl", content: bytes | None = None) -> FileObject:
    """Upload lines, or content."""
    body = jsonl(*lines) if content is None else content
    return client.files.create(file=(name, io.BytesIO(body)), purpose="batch")


def submit(client: OpenAI, *lines: Any, content: bytes | None = None, window: Any = "24h", **ours: Any) -> Batch:
    """Upload lines and make a batch of them; `ours` are promptq's own parameters."""
    file = upload(client, *lines, content=content)
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window=window, extra_body=ours
    )


def ended(client: OpenAI, batch: Batch, timeout: float = 30) -> Batch:
    """Wait until a batch has ended; return it."""

    def has_ended() -> Batch | None:
        now = client.batches.retrieve(batch.id)
        return now if now.status in ENDED else None

    return eventually(has_ended, timeout, what=f"{batch.id} ends")


def lines_of(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """The lines of an output or error file."""
    if file_id is None:
        return []
    return [json.loads(line) for line in client.files.content(file_id).iter_lines() if line]


def texts(client: OpenAI, batch: Batch) -> dict[str, str]:
    """What each line that succeeded was answered, in the order of the output."""
    return {line["custom_id"]: text_of(line) for line in lines_of(client, batch.output_file_id)}


def codes(client: OpenAI, batch: Batch) -> dict[str, str]:
    """Why each line that did not succeed did not."""
    return {line["custom_id"]: line["error"]["code"] for line in lines_of(client, batch.error_file_id)}


def text_of(line: dict[str, Any]) -> str:
    body = line["response"]["body"]
    if "choices" in body:
        return str(body["choices"][0]["message"]["content"])
    return "".join(part["text"] for part in body["parts"] if part["type"] == "text")
