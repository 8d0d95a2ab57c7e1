"""Files, as OpenAI's client sends and reads them."""

import gzip
import io
import os
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.api.openai.conftest import Start
from tests.api.openai.house import House
from tests.support.keys import keyed
from tests.support.waiting import eventually

CONTENT = os.urandom(3_300_000)


def send(client: OpenAI, content: bytes, name: str = "x.jsonl", **more: Any) -> Any:
    return client.files.create(file=(name, io.BytesIO(content)), purpose="batch", **more)


def test_a_file_comes_back_as_it_was_sent(client: OpenAI) -> None:
    file = send(client, CONTENT)
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", len(CONTENT), "x.jsonl", "batch")
    assert file.expires_at == file.created_at + 30 * 86_400
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).content == CONTENT
    assert [each.id for each in client.files.list()] == [file.id]


def test_a_path_is_sent_under_its_name(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b"{}\n")
    assert client.files.create(file=path, purpose="batch").filename == "prompts.jsonl"


def test_a_file_that_is_deleted_is_gone(client: OpenAI) -> None:
    file = send(client, b"x")
    assert client.files.delete(file.id).deleted
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(file.id)


def test_files_are_listed_in_pages_and_by_purpose(client: OpenAI) -> None:
    made = [client.files.create(file=("x", b"x"), purpose="user_data" if n % 2 else "batch").id for n in range(5)]
    assert [file.id for file in client.files.list(limit=2)] == made[::-1]
    assert [file.id for file in client.files.list(order="asc")] == made
    assert [file.id for file in client.files.list(purpose="user_data")] == [made[3], made[1]]


def test_compressed_files_are_decompressed(client: OpenAI) -> None:
    text = b'{"custom_id": "a", "prompt": "hello"}\n' * 50_000
    file = send(client, gzip.compress(text), "x.jsonl.gz")
    assert file.bytes == len(text)
    assert client.files.content(file.id).content == text
    twice = send(client, gzip.compress(text[:1000]) + gzip.compress(text[1000:]))
    assert client.files.content(twice.id).content == text


@pytest.mark.parametrize("cut", [3, 500])
def test_what_cannot_be_decompressed_is_refused(client: OpenAI, cut: int, house: House) -> None:
    whole = gzip.compress(os.urandom(2_000))
    with pytest.raises(openai.BadRequestError, match="ends in the middle"):
        send(client, whole[:cut])
    with pytest.raises(openai.BadRequestError, match="cannot be decompressed"):
        send(client, whole[:100] + b"x" * 3000)
    assert client.files.list().data == []


def test_the_limit_is_on_what_is_decompressed(start: Start) -> None:
    house = start(file_limit=1_000_000, worker=False)
    with house.client() as client:
        assert send(client, b"x" * 1_000_000).bytes == 1_000_000
        with pytest.raises(openai.APIStatusError, match="larger than") as refused:
            send(client, gzip.compress(b"x" * 1_000_001))
        assert (refused.value.status_code, refused.value.code) == (413, "too_large")
        with pytest.raises(openai.APIStatusError) as refused:
            send(client, b"x" * 3_000_000)
        assert refused.value.status_code == 413


def test_how_long_a_file_is_kept_can_be_said(client: OpenAI) -> None:
    file = send(client, b"x", expires_after={"anchor": "created_at", "seconds": 3600})
    assert file.expires_at == file.created_at + 3600
    with pytest.raises(openai.BadRequestError) as refused:
        send(client, b"x", expires_after={"anchor": "created_at", "seconds": 5})
    assert refused.value.param == "expires_after.seconds"


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"files": {"file": ("x", b"x")}}, "purpose"),
        ({"files": {"file": ("x", b"x")}, "data": {"purpose": "fun"}}, "purpose"),
        ({"files": {"file": ("x", b"x")}, "data": {"purpose": "batch", "speed": "9"}}, "speed: unknown field"),
        ({"data": {"purpose": "batch"}, "files": {"other": ("x", b"x")}}, "file: is required"),
        ({"files": [("file", ("x", b"x")), ("file", ("y", b"y"))], "data": {"purpose": "batch"}}, "comes twice"),
        ({"json": {"purpose": "batch"}}, "multipart"),
        ({"content": b"nonsense", "headers": {"Content-Type": "multipart/form-data; boundary=x"}}, "multipart"),
    ],
)
def test_a_form_that_is_wrong_is_refused_in_openais_shape(house: House, form: Any, why: str) -> None:
    answer = house.post("/v1/files", **form)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert why in error["message"]
    assert house.get("/v1/files").json()["data"] == []


def test_a_form_that_ends_in_the_middle_is_refused(house: House) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + b"x" * 2_000_000
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = house.post("/v1/files", content=part, headers=headers)
    assert (answer.status_code, "middle" in answer.text) == (400, True)


def test_an_upload_that_breaks_off_leaves_nothing(house: House) -> None:
    def broken() -> Any:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
        yield b"x" * 3_000_000
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        house.post("/v1/files", content=broken(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert house.get("/v1/files").json()["data"] == []
    eventually(lambda: not house.batches.tidy(retention_ms=10**9, limit=10), what="what there was of it is gone")


def test_when_the_disk_is_full_the_upload_fails_and_can_be_repeated(start: Start) -> None:
    house = start(worker=False)
    with house.client() as client:
        house.limit_pages(100)
        with pytest.raises(openai.InternalServerError) as refused:
            send(client, CONTENT)
        assert (refused.value.status_code, refused.value.code) == (503, "unavailable")
        assert refused.value.response.headers["retry-after"] == "1"
        house.limit_pages(1_000_000)
        assert client.files.list().data == []
        assert send(client, CONTENT).bytes == len(CONTENT)


def test_another_tenants_file_is_as_if_it_were_not(start: Start) -> None:
    configuration, keys = keyed("one", "two")
    house = start(configuration=configuration, worker=False)
    with house.client(keys["one"]) as one, house.client(keys["two"]) as two:
        file = send(one, b"x")
        assert two.files.list().data == []
        for ask in (two.files.retrieve, two.files.content, two.files.delete):
            with pytest.raises(openai.NotFoundError) as refused:
                ask(file.id)
            assert file.id in str(refused.value)
        with pytest.raises(openai.NotFoundError):
            two.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


def test_a_wrong_key_is_refused_in_openais_shape(start: Start) -> None:
    configuration, _ = keyed("one")
    house = start(configuration=configuration, worker=False)
    with house.client("wrong") as client, pytest.raises(openai.AuthenticationError) as refused:
        client.models.list()
    assert refused.value.code == "invalid_api_key"


def test_a_route_that_is_not_there_is_told_in_openais_shape(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no POST /v1/embeddings"):
        client.embeddings.create(model="x", input="y")


def test_models_are_those_that_prompts_may_name(client: OpenAI) -> None:
    assert "echo/echo" in [model.id for model in client.models.list()]
    assert client.models.retrieve("echo/echo").owned_by == "echo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-6")


def test_unknown_parameters_of_a_query_are_refused(house: House) -> None:
    answer = house.get("/v1/files", params={"colour": "blue"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "colour")
