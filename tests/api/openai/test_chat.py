"""Chat completions, as OpenAI's client asks for them."""

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.api.openai.conftest import Start
from tests.api.openai.house import House
from tests.support.keys import keyed
from tests.support.valkey import ValkeyServer
from tests.support.waiting import eventually

MODEL = "echo/echo"


def ask(client: OpenAI, text: str = "hello there", **more: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}], **more)


def test_an_answer_is_as_openai_writes_it(client: OpenAI) -> None:
    answer = ask(client, max_tokens=9, temperature=0)
    assert answer.choices[0].message.content == "hello there"
    assert (answer.choices[0].finish_reason, answer.model, answer.object) == ("stop", MODEL, "chat.completion")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 2, 4)


def test_the_last_message_is_the_prompt(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "Two."},
            {"role": "user", "content": [{"type": "text", "text": "Three?"}]},
        ],
    )
    assert answer.choices[0].message.content == "Three?"


def test_nothing_of_it_is_in_the_lists_of_sessions_and_its_prompt_is_not_kept(client: OpenAI, house: House) -> None:
    ask(client, "a secret wish")
    assert house.get("/session").json() == []
    (job,) = house.get("/job").json()
    assert job["state"] == "succeeded"
    messages = house.store.messages("default", job["sessionID"])
    assert [str(message.parts).count("a secret wish") for message in messages] == [0, 1], "only the answer"
    assert house.post(f"/job/{job['id']}/retry").status_code == 409


def test_the_same_key_is_the_same_answer(client: OpenAI, house: House) -> None:
    headers = {"Idempotency-Key": "k1"}
    first, again = ask(client, extra_headers=headers), ask(client, extra_headers=headers)
    assert first.id == again.id
    assert len(house.get("/job").json()) == 1
    with pytest.raises(openai.ConflictError):
        ask(client, "something else", extra_headers=headers)


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"model": "gpt-6"}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools"),
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}]}, None),
    ],
)
def test_what_is_not_offered_is_refused_with_the_field(client: OpenAI, wrong: Any, param: str | None) -> None:
    given = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], **wrong}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**given)
    assert refused.value.param == (param or "messages.0.content.0.image_url.url")


def test_an_answer_is_streamed_word_by_word(start: Start, valkey: ValkeyServer) -> None:
    house = start(redis_url=valkey.url)
    text = "one two three four"
    with house.client() as client:
        chunks = list(ask(client, text, stream=True, stream_options={"include_usage": True}))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1


def test_without_a_redis_it_comes_in_one_piece(client: OpenAI) -> None:
    chunks = list(ask(client, "one two", stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "one two", None]


def test_text_comes_while_the_model_still_speaks(start: Start, valkey: ValkeyServer) -> None:
    from domain.prompts import Prompt

    house = start(redis_url=valkey.url)
    # The offline model is told to stall by metadata, which OpenAI's requests do not carry.
    original = house.app.state.means.store.admit_soon

    def stalling(tenant: str, session_id: str, prompt: Prompt) -> Any:
        detail = {**(prompt.detail or {}), "metadata": {"echo": {"stall": True}}}
        return original(tenant, session_id, prompt.evolve(detail=detail))

    house.app.state.means.store.admit_soon = stalling
    with house.client() as client, ask(client, "begun and never ended", stream=True) as stream:
        heard = next(text for chunk in stream if (text := chunk.choices[0].delta.content))
        assert heard == "begun "
        (job,) = house.get("/job").json()
        house.post(f"/job/{job['id']}/cancel")
        with pytest.raises(openai.APIError, match="cancelled"):
            list(stream)


def test_an_ephemeral_one_is_kept_in_redis_alone(start: Start, valkey: ValkeyServer) -> None:
    house = start(redis_url=valkey.url)
    with house.client() as client:
        answer = ask(client, "whisper", extra_body={"ephemeral": True})
    assert answer.choices[0].message.content == "whisper"
    assert house.get("/job").json() == []
    assert len(house.get("/job", params={"ephemeral": True}).json()) == 1
    assert house.get("/session", params={"ephemeral": True}).json() == []


def test_another_tenant_sees_nothing_of_it(start: Start) -> None:
    configuration, keys = keyed("one", "two")
    house = start(configuration=configuration)
    headers = {"Idempotency-Key": "same"}
    with house.client(keys["one"]) as one, house.client(keys["two"]) as two:
        first = ask(one, "mine", extra_headers=headers)
        second = ask(two, "yours", extra_headers=headers)
        assert (first.choices[0].message.content, second.choices[0].message.content) == ("mine", "yours")


def test_a_stream_of_all_sessions_does_not_tell_of_one_offs(start: Start, valkey: ValkeyServer) -> None:
    import threading

    house = start(redis_url=valkey.url)
    told: list[str] = []
    connected = threading.Event()

    def follow() -> None:
        import httpx2

        with httpx2.stream("GET", f"{house.url}/event", timeout=30) as stream:
            for line in stream.iter_lines():
                told.append(line)
                connected.set()
                if "ses_seen" in line and "idle" in line:
                    return

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    assert connected.wait(10)
    with house.client() as client:
        ask(client)
    answer = house.post("/session/ses_seen/message", json={"parts": [{"type": "text", "text": "x"}]})
    assert answer.status_code == 200
    thread.join(20)
    eventually(lambda: not thread.is_alive())
    assert any("ses_seen" in line for line in told)
    assert not any("ses_." in line for line in told)
