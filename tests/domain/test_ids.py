import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import ids
from domain.clock import system_clock
from domain.errors import InvalidRequest


def test_ids_that_we_make_have_twelve_hex_digits_and_fourteen_of_base_62() -> None:
    for made, prefix in [
        (ids.new_session_id(), "ses"),
        (ids.new_session_id(ephemeral=True), "ses_tmp"),
        (ids.new_message_id(), "msg"),
        (ids.new_part_id(), "prt"),
        (ids.new_job_id("ses_a", 1), "job"),
    ]:
        assert re.fullmatch(prefix + "_[0-9a-f]{12}[0-9A-Za-z]{14}", made)


def test_the_hex_digits_are_the_low_48_bits_of_the_time() -> None:
    before = system_clock()
    stamp = int(ids.new_message_id()[4:16], 16)
    assert 0 <= ((stamp >> 12) - before) % 2**36 < 60_000


def test_messages_rise_and_sessions_fall_strictly() -> None:
    messages = [ids.new_message_id() for _ in range(10_000)]
    assert messages == sorted(messages)
    sessions = [ids.new_session_id() for _ in range(10_000)]
    assert sessions == sorted(sessions, reverse=True)


def test_ids_of_many_threads_are_distinct() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ids.new_job_id("ses_a", 1), range(4_000)))
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("value", ["ses_a", "ses_A-b_9", "ses_" + "x" * 128, "ses_tmp_1"])
def test_a_caller_may_choose_a_session_id_of_these_characters(value: str) -> None:
    assert ids.check_session_id(value) == value


@pytest.mark.parametrize(
    "value", ["", "ses_", "a", "ses-a", "SES_a", "ses_a/b", "ses_a ", "ses_a\n", "ses_ä", "ses_" + "x" * 129, "x ses_a"]
)
def test_any_other_session_id_is_refused_by_the_name_of_its_field(value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ids.check_session_id(value, field="id")
    assert refused.value.field == "id"


@pytest.mark.parametrize("value", ["msg_1", "msg1", "msg_" + "x" * 128])
def test_a_caller_may_choose_a_message_id(value: str) -> None:
    assert ids.check_message_id(value) == value
    assert ids.check_part_id(value.replace("msg", "prt")) == value.replace("msg", "prt")


@pytest.mark.parametrize("value", ["msg", "message 1", "msg_a/b", "msg_" + "x" * 130, "prt_1\n"])
def test_any_other_message_id_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest):
        ids.check_message_id(value)
    with pytest.raises(InvalidRequest):
        ids.check_part_id(value)


def test_the_name_says_where_a_session_lives() -> None:
    assert ids.is_ephemeral("ses_tmp_1")
    assert not ids.is_ephemeral("ses_temporary")


@pytest.mark.parametrize(
    ("namespace", "pairs", "text", "session_id"),
    [
        ("ns", {}, "ns", "ses_4883dd4a-d6f0-5e26-b7cb-403a8809d7e5"),
        ("ns", {"b": "2", "a": "1"}, "ns\na=1\nb=2", "ses_68d5ee48-c5f2-5bd8-abef-d21260bc4de9"),
        ("n%s", {"a=b": "1\n2%"}, "n%25s\na%3Db=1%0A2%25", "ses_a3a7cb6b-226e-5485-ba3f-bc5b672be619"),
        ("ns", {"e\u0301": "u\u0308"}, "ns\n\u00e9=\u00fc", "ses_9cbd207b-34d7-5278-960a-63d2ffc538a1"),
    ],
)
def test_the_deterministic_id_is_computed_from_sorted_escaped_pairs(
    namespace: str, pairs: dict[str, str], text: str, session_id: str
) -> None:
    assert ids.canonical_pairs(namespace, pairs) == text
    assert ids.session_id_from(namespace, pairs) == session_id


def test_an_ephemeral_deterministic_id_differs_by_its_prefix_only() -> None:
    durable = ids.session_id_from("ns", {"a": "1"})
    assert ids.session_id_from("ns", {"a": "1"}, ephemeral=True) == durable.replace("ses_", "ses_tmp_")


def test_keys_that_unicode_holds_equal_are_sorted_by_their_values() -> None:
    assert ids.canonical_pairs("ns", {"\u00e9": "2", "e\u0301": "1"}) == "ns\n\u00e9=1\n\u00e9=2"


@given(st.dictionaries(st.text(), st.text()), st.dictionaries(st.text(), st.text()))
def test_only_pairs_that_differ_give_texts_that_differ(one: dict[str, str], other: dict[str, str]) -> None:
    def normal(pairs: dict[str, str]) -> list[tuple[str, str]]:
        return sorted((unicodedata.normalize("NFC", k), unicodedata.normalize("NFC", v)) for k, v in pairs.items())

    same_text = ids.canonical_pairs("ns", one) == ids.canonical_pairs("ns", other)
    assert same_text == (normal(one) == normal(other))
