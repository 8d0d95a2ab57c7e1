"""Batches, as OpenAI's client drives them."""

import time
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.api.openai.conftest import Start
from tests.api.openai.house import House, codes, ended, lines_of, submit, text_of, texts, upload
from tests.domain.batches.lines import chat, short, to_session
from tests.support.waiting import eventually


def slow(custom_id: str, seconds: float = 60, **fields: Any) -> dict[str, Any]:
    """A line that takes its time."""
    return to_session(custom_id, f"ses_{custom_id}", metadata={"echo": {"delay": seconds}}, **fields)


def failing(custom_id: str, **fields: Any) -> dict[str, Any]:
    """A line that fails."""
    return to_session(custom_id, f"ses_{custom_id}", metadata={"echo": {"fail": "permanent"}}, **fields)


def test_a_batch_of_all_forms_of_lines_is_run(client: OpenAI) -> None:
    batch = submit(
        client,
        chat("a", "one"),
        to_session("b", "ses_b", "two"),
        short("c", "three"),
        short("d", "four", session="ses_b"),
    )
    assert batch.status == "validating"
    done = ended(client, batch)
    assert done.status == "completed"
    assert texts(client, done) == {"a": "one", "b": "two", "c": "three", "d": "four"}
    assert done.error_file_id is None
    assert done.errors is None
    counts, usage = done.request_counts, done.usage
    assert counts is not None
    assert usage is not None
    assert (counts.total, counts.completed, counts.failed) == (4, 4, 0)
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (4, 4, 8)
    times = [done.created_at, done.in_progress_at, done.completed_at]
    assert sorted(times, key=lambda at: at or 0) == times
    assert done.expires_at == done.created_at + 86_400


def test_an_output_line_is_as_openai_writes_it(client: OpenAI) -> None:
    done = ended(client, submit(client, chat("a", "one two", model="echo/echo")))
    (line,) = lines_of(client, done.output_file_id)
    assert line["id"].startswith("batch_req_")
    assert (line["custom_id"], line["error"]) == ("a", None)
    assert line["response"]["status_code"] == 200
    completion = openai.types.chat.ChatCompletion.model_validate(line["response"]["body"], strict=True)
    assert completion.choices[0].message.content == "one two"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 4
    file = client.files.retrieve(done.output_file_id or "")
    assert (file.purpose, file.filename) == ("batch_output", f"{done.id}_output.jsonl")
    assert file.bytes == len(client.files.content(file.id).content)


def test_lines_that_fail_stand_in_the_error_file(client: OpenAI) -> None:
    done = ended(client, submit(client, short("a"), failing("b"), short("c")))
    assert done.status == "completed"
    assert list(texts(client, done)) == ["a", "c"]
    (line,) = lines_of(client, done.error_file_id)
    assert (line["custom_id"], line["error"]["code"]) == ("b", "echo_fault")
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 1)


def test_output_is_in_the_order_of_the_input_whatever_ended_first(client: OpenAI) -> None:
    lines = [slow(f"l{number}", (7 - number) / 20) for number in range(8)]
    done = ended(client, submit(client, *lines))
    assert list(texts(client, done)) == [f"l{number}" for number in range(8)]


def test_a_thousand_lines_are_run(client: OpenAI) -> None:
    lines = [
        short(f"l{n}", f"prompt {n}") if n % 3 else to_session(f"l{n}", f"ses_{n % 7}", f"prompt {n}")
        for n in range(1000)
    ]
    done = ended(client, submit(client, *lines), 60)
    assert texts(client, done) == {f"l{n}": f"prompt {n}" for n in range(1000)}


def test_a_file_with_bad_lines_runs_nothing_and_says_all_that_is_wrong(client: OpenAI, house: House) -> None:
    done = ended(client, submit(client, short("a"), "{", short("b", prompt=""), short("a"), short("c")))
    assert (done.status, done.output_file_id, done.error_file_id) == ("failed", None, None)
    assert done.errors is not None
    assert done.errors.data is not None
    assert [(error.line, error.code, error.param) for error in done.errors.data] == [
        (2, "invalid_json", None),
        (3, "invalid_line", "prompt"),
        (4, "duplicate_custom_id", "custom_id"),
    ]
    assert (done.errors.data[1].message or "").startswith("prompts.jsonl, line 3: prompt: ")
    assert house.get("/job").json() == []


def test_unless_the_bad_ones_are_to_be_skipped(client: OpenAI) -> None:
    done = ended(client, submit(client, short("a"), "{", short("b", prompt=""), short("a", "again"), skip_invalid=True))
    assert done.status == "completed"
    assert texts(client, done) == {"a": "hi"}
    assert [(line["custom_id"], line["error"]["code"]) for line in lines_of(client, done.error_file_id)] == [
        (None, "invalid_json"),
        ("b", "invalid_line"),
        ("a", "duplicate_custom_id"),
    ]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"\n\r\n  \n", "empty_file"),
        (b'\xef\xbb\xbf{"custom_id":"a","prompt":"x"}\r\n{"custom_id":"b"}', "invalid_line"),
        (b'{"custom_id":"a","prompt":"\xff\xfe"}', "invalid_utf8"),
        (b'{"custom_id":"a","prompt":"' + b"x" * 2_000_000 + b'"}', "line_too_long"),
    ],
)
def test_files_of_all_kinds_are_told_what_is_wrong_with_them(client: OpenAI, content: bytes, code: str) -> None:
    done = ended(client, submit(client, content=content))
    assert done.status == "failed"
    assert done.errors is not None
    assert [error.code for error in done.errors.data or ()] == [code]


def test_a_byte_order_mark_and_windows_line_ends_are_nothing_wrong(client: OpenAI) -> None:
    content = b'\xef\xbb\xbf{"custom_id":"a","prompt":"x"}\r\n\r\n{"custom_id":"b","prompt":"y"}\r\n'
    assert texts(client, ended(client, submit(client, content=content))) == {"a": "x", "b": "y"}


def test_a_cancelled_batch_starts_nothing_more_and_accounts_for_every_line(client: OpenAI) -> None:
    lines = [short("quick"), *(slow(f"l{number}") for number in range(300))]
    batch = submit(client, *lines)
    eventually(lambda: (client.batches.retrieve(batch.id).request_counts or batch).completed == 1)  # type: ignore[union-attr]
    cancelling = client.batches.cancel(batch.id)
    assert cancelling.status in {"cancelling", "cancelled"}
    done = ended(client, batch)
    assert done.status == "cancelled"
    assert done.cancelling_at is not None
    assert done.cancelled_at is not None
    assert texts(client, done) == {"quick": "hi"}
    assert set(codes(client, done)) == {f"l{number}" for number in range(300)}
    assert set(codes(client, done).values()) <= {"cancelled", "batch_cancelled"}
    assert client.batches.cancel(batch.id).status == "cancelled"


def test_a_batch_that_has_ended_cannot_be_cancelled(client: OpenAI) -> None:
    done = ended(client, submit(client, short()))
    with pytest.raises(openai.ConflictError, match="completed"):
        client.batches.cancel(done.id)


def test_partial_text_of_what_was_cancelled_is_kept_in_the_session(client: OpenAI, house: House) -> None:
    batch = submit(client, to_session("a", "ses_a", "some words", metadata={"echo": {"stall": True}}))
    eventually(lambda: client.batches.retrieve(batch.id).counts["running"] == 1)  # type: ignore[attr-defined]
    client.batches.cancel(batch.id)
    ended(client, batch)
    answer = house.get("/session/ses_a/message").json()[1]
    assert "some " in [part.get("text") for part in answer["parts"]]


def test_a_window_that_ends_leaves_no_line_without_an_outcome(client: OpenAI) -> None:
    batch = submit(client, short("quick"), slow("a"), slow("b"), window="1s")
    done = ended(client, batch)
    assert done.status == "expired"
    assert done.expired_at is not None
    assert texts(client, done) == {"quick": "hi"}
    assert codes(client, done) == {"a": "batch_expired", "b": "batch_expired"}


def test_counts_are_exact_while_it_runs(client: OpenAI) -> None:
    batch = submit(client, short("a"), short("b"), failing("c"), slow("d"))

    def counts() -> Any:
        return client.batches.retrieve(batch.id).counts  # type: ignore[attr-defined]

    eventually(lambda: counts()["running"] == 1 and counts()["failed"] == 1 and counts()["succeeded"] == 2)
    assert counts() == {
        "waiting": 0,
        "queued": 0,
        "running": 1,
        "succeeded": 2,
        "failed": 1,
        "cancelled": 0,
        "expired": 0,
    }
    client.batches.cancel(batch.id)
    ended(client, batch)
    assert counts()["cancelled"] == 1


def test_batches_are_listed_the_newest_first_in_pages(client: OpenAI) -> None:
    made = []
    for number in range(5):
        made.append(submit(client, short(), id=f"batch_{number}").id)
        time.sleep(0.002)
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    page = client.batches.list(limit=2)
    assert page.has_more
    assert [batch.id for batch in client.batches.list(after=made[1]).data] == [made[0]]


def test_metadata_and_the_rest_come_back_as_they_were_given(client: OpenAI) -> None:
    file = upload(client, short())
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"who": "me"},
        output_expires_after={"anchor": "created_at", "seconds": 7200},
    )
    assert (batch.metadata, batch.input_file_id, batch.completion_window) == ({"who": "me"}, file.id, "24h")
    done = ended(client, batch)
    output = client.files.retrieve(done.output_file_id or "")
    assert output.expires_at == output.created_at + 7200


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"endpoint": "/v1/embeddings"}, "endpoint"),
        ({"completion_window": "tomorrow"}, "completion_window"),
        ({"completion_window": "31d"}, "completion_window"),
        ({"metadata": {"x": 5}}, "metadata.x"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, "output_expires_after.seconds"),
        ({"extra_body": {"id": "mine"}}, "id"),
        ({"extra_body": {"base": "batch_x y"}}, "base"),
        ({"extra_body": {"priority": 10}}, "priority"),
        ({"extra_body": {"model": "nobody/x"}}, "model"),
        ({"extra_body": {"speed": 9}}, "speed"),
    ],
)
def test_a_request_that_is_wrong_is_refused_with_the_field(client: OpenAI, wrong: Any, param: str) -> None:
    file = upload(client, short())
    given = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **wrong}
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(input_file_id=file.id, **given)
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


def test_a_batch_of_a_file_that_is_not_there_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="file-none"):
        client.batches.create(input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h")
    with pytest.raises(openai.NotFoundError, match="batch_none"):
        client.batches.retrieve("batch_none")


def test_so_is_one_of_a_file_for_something_else(client: OpenAI) -> None:
    file = client.files.create(file=("x", b"x"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="not for batches"):
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


def test_a_file_that_is_deleted_while_its_batch_runs_is_read_to_its_end(client: OpenAI, start: Start) -> None:
    lines = [slow(f"l{number}", 0.3) for number in range(200)]
    file = upload(client, *lines)
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_body={"max_in_flight": 40},
    )
    eventually(lambda: client.batches.retrieve(batch.id).counts["succeeded"] > 0)  # type: ignore[attr-defined]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    assert len(texts(client, ended(client, batch))) == 200


def test_no_more_lines_are_open_than_are_wanted(client: OpenAI) -> None:
    batch = submit(client, *[slow(f"l{number}", 0.05) for number in range(60)], max_in_flight=7)
    most = 0
    while (now := client.batches.retrieve(batch.id)).status != "completed":
        counts = now.counts  # type: ignore[attr-defined]
        most = max(most, counts["queued"] + counts["running"])
    assert 0 < most <= 7
    assert len(texts(client, now)) == 60


def test_one_offs_are_in_no_list_of_sessions(client: OpenAI, house: House) -> None:
    batch = submit(client, *[short(str(number)) for number in range(5)], slow("a"))
    eventually(lambda: client.batches.retrieve(batch.id).counts["succeeded"] == 5)  # type: ignore[attr-defined]
    assert [session["id"] for session in house.get("/session").json()] == ["ses_a"]
    jobs = house.get("/job", params={"batchID": batch.id}).json()
    assert len(jobs) == 6
    hidden = next(job["sessionID"] for job in jobs if job["sessionID"] != "ses_a")
    assert house.get(f"/session/{hidden}").status_code == 400


def test_a_text_of_an_output_is_the_answer(client: OpenAI) -> None:
    done = ended(client, submit(client, to_session("a", "ses_a", "words")))
    (line,) = lines_of(client, done.output_file_id)
    assert text_of(line) == "words"
    assert line["response"]["body"]["info"]["sessionID"] == "ses_a"
